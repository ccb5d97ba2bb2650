"""Networks ready to run, one file each: `python -m networks.coba`."""
