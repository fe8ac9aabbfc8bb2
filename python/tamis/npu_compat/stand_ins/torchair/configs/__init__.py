"""Settings of the device's graph compiler."""
