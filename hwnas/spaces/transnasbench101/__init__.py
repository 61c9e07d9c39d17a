"""The two search spaces of TransNAS-Bench-101 and their networks for its seven tasks.

Duan et al., TransNAS-Bench-101: Improving Transferability and Generalizability of Cross-Task Neural
Architecture Search, CVPR 2021. `micro` varies the cell, `macro` the modules.
"""
