"""The cells of DARTS, ENAS, AmoebaNet, NASNet and PNAS.

Radosavovic et al., On Network Design Spaces for Visual Recognition, ICCV 2019, Table 1.
"""
