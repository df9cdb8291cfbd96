"""Dynamic mixing: training items drawn and mixed on the fly."""
