/* The device's calls on a CPU without an include root of their own: see docs/acl.md. */
#ifndef TAMIS_COMPAT_ACL_H_
#define TAMIS_COMPAT_ACL_H_

#include "ascend/acl/acl.h"

#endif
