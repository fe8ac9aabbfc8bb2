"""`transfer_to_npu`, the one part that is here."""
