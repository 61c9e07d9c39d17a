"""Latency of any CNN as a sum over fused kernels, learned from measurements on this host.

After nn-Meter (Zhang et al., "nn-Meter: Towards Accurate Latency Prediction of Deep-Learning Model
Inference on Diverse Edge Devices", MobiSys 2021). One difference: nn-Meter infers a backend's
fusion rules by test cases; ONNX Runtime can write the graph that it executes, which is read here.
"""
