"""Downloads: resumable, checked, unpacked."""
