"""Every setting, error code, job option and file name: its name, default, meaning and check."""
