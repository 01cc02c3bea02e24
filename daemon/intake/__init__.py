"""From an entry of an inbox to a recorded job: look, decide, check the content, admit.

`snapshot` looks (lstat alone), `completeness` decides (pure), `content` and `archive_reader` read what is there,
`job_file` and `markers` know what people ask for, `intake` does it in turn for every entry of one inbox.
"""
