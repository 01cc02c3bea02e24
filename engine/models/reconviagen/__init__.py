"""ReconViaGen in plain PyTorch: six views in, a whole object out, also where no camera sees.

TRELLIS (Xiang et al. 2024) conditioned on VGGT (Wang et al. 2025) and DINOv2 (Oquab et al. 2023), as ReconViaGen
(2025) puts them together. Importing this package imports no torch; its modules do.
"""
