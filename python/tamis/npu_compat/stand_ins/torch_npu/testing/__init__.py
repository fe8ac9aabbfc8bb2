"""What the documents' example programs take from the device's tests."""
