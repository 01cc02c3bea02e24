"""Files, jobs, processes and the command line. Knows nothing of pixels, cameras or meshes."""
