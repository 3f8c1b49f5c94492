"""What goes out as a file: QR codes, and documents by ranges."""
