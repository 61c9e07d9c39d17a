"""PyTorch's operators that multiply and accumulate nothing, by the usual convention of counts."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

# Beside the pointwise ones and views, which PyTorch tags. In-place forms (`_`), copies of views
# (`_copy`), gradients (`_backward`) and lists (`_foreach_`) of what stands here belong to it.
_MAKE = """
    _cudnn_init_dropout_state _dirichlet_grad _efficientzerotensor _empty_affine_quantized
    _empty_per_channel_affine_quantized _fill_mem_eff_dropout_mask_ _fused_dropout _make_dep_token
    _masked_scale _new_zeros_with_same_feature_meta _philox_key_fold_in _philox_key_split
    _philox_normal _philox_uniform _sample_dirichlet _sparse_compressed_tensor_with_dims
    _sparse_coo_tensor_with_dims _sparse_coo_tensor_with_dims_and_tensors _standard_gamma
    _standard_gamma_grad arange bartlett_window bernoulli binomial blackman_window cauchy complex
    empty empty_like empty_permuted empty_quantized empty_strided exponential eye fft_fftfreq
    fft_rfftfreq fill from_file full full_like geometric hamming_window hann_window kaiser_window
    linspace log_normal logspace multinomial native_dropout new_empty new_empty_strided new_full
    new_ones new_zeros normal normal_functional ones ones_like poisson polar rand rand_like randint
    randint_like randn randn_like random randperm range scalar_tensor sparse_compressed_tensor
    sparse_coo_tensor tril_indices triu_indices uniform zero zeros zeros_like
"""
_ASK = """
    _amp_foreach_non_finite_check_and_unscale _amp_update_scale _assert_async _assert_scalar
    _assert_tensor_metadata _debug_has_internal_overlap _dimI _dimV _functional_assert_async
    _functional_assert_scalar _functional_sym_constrain_range
    _functional_sym_constrain_range_for_size _fused_sdp_choice _has_same_storage_numel _is_all_true
    _is_any_true _linalg_check_errors _local_scalar_dense
    _nested_compute_contiguous_strides_offsets _nested_get_jagged_dummy _nested_get_lengths
    _nested_get_max_seqlen _nested_get_min_seqlen _nested_get_offsets _nested_get_ragged_idx
    _nested_tensor_size _nested_tensor_storage_offsets _nested_tensor_strides _nnz _print
    _use_cudnn_ctc_loss _use_miopen_ctc_loss _validate_compressed_sparse_indices allclose dense_dim
    is_coalesced is_pinned is_same_size is_set_to q_per_channel_axis q_per_channel_scales
    q_per_channel_zero_points q_scale q_zero_point qscheme record_stream sparse_dim
    sym_constrain_range sym_constrain_range_for_size sym_is_contiguous sym_numel sym_size
    sym_storage_offset sym_stride
"""
_MOVE = """
    _chunk_cat _coalesce _coalesced _convert_indices_from_coo_to_csr
    _convert_indices_from_csr_to_coo _convert_weight_to_int4pack
    _convert_weight_to_int4pack_for_cpu _copy_from _copy_from_and_resize _cudnn_rnn_flatten_weight
    _dyn_quant_pack_4bit_weight _embedding_bag_dense_backward _index_put_impl
    _jagged_to_padded_dense_forward _lazy_clone _make_dual_copy _mkldnn_reshape _mkldnn_transpose
    _nested_from_padded _nested_from_padded_and_nested_example _nested_from_padded_tensor
    _nested_select_backward _nested_tensor_from_mask _nested_tensor_from_mask_left_aligned
    _nested_tensor_from_tensor_list _pack_padded_sequence _padded_dense_to_jagged_forward
    _pin_memory _reshape_copy _resize_output _sparse_mask_projection _spdiags _stack _to_copy
    _to_dense _to_sparse _to_sparse_bsc _to_sparse_bsr _to_sparse_csc _to_sparse_csr
    _transform_bias_rescale_qkv _unsafe_index _unsafe_index_put _unsafe_masked_index
    _unsafe_masked_index_put_accumulate _unsafe_view as_strided as_strided_scatter block_diag cat
    channel_shuffle clone col2im constant_pad_nd copy copy_sparse_to_sparse detach diag_embed
    diagonal_scatter embedding embedding_dense_backward embedding_renorm flip gather im2col index
    index_add index_copy index_fill index_put index_reduce index_select lift lift_fresh lu_unpack
    masked_fill masked_scatter masked_select max_unpool2d max_unpool3d mkldnn_reorder_conv2d_weight
    mkldnn_reorder_conv3d_weight native_channel_shuffle nonzero nonzero_static pixel_shuffle
    pixel_unshuffle put reflection_pad1d reflection_pad2d reflection_pad3d repeat repeat_interleave
    replication_pad1d replication_pad2d replication_pad3d resize resize_as resize_as_sparse roll
    rot90 scatter scatter_add scatter_reduce select_scatter set slice_scatter sparse_mask
    sparse_resize sparse_resize_and_clear stack take to_mkldnn to_padded_tensor tril triu
    unsafe_chunk unsafe_split unsafe_split_with_sizes
"""
_REDUCE = """
    _aminmax _cummax_helper _cummin_helper _foreach_powsum _histogramdd_bin_edges
    _histogramdd_from_bin_cts _histogramdd_from_bin_tensors _logcumsumexp _nested_sum_backward
    _segment_reduce_backward _sparse_csr_prod _sparse_csr_sum _sparse_sum _unique _unique2 all amax
    amin aminmax any argmax argmin argsort bincount bucketize count_nonzero cummax cummin cumprod
    cumsum dist hash_tensor histc histogram isin kthvalue linalg__powsum linalg_vector_norm
    logcumsumexp logsumexp max mean median min mode nanmedian nansum native_norm norm prod renorm
    searchsorted segment_reduce sort std std_mean sum topk trace unique_consecutive unique_dim
    unique_dim_consecutive var var_mean
"""
_NORMALISE = """
    _batch_norm_no_update _batch_norm_with_update _batch_norm_with_update_functional
    _fused_rms_norm _native_batch_norm_legit _native_batch_norm_legit_functional
    _native_batch_norm_legit_no_training _weight_norm_interface batch_norm
    batch_norm_backward_elemt batch_norm_backward_reduce batch_norm_elemt batch_norm_gather_stats
    batch_norm_gather_stats_with_counts batch_norm_stats batch_norm_update_stats cudnn_batch_norm
    miopen_batch_norm native_batch_norm native_group_norm native_layer_norm quantized_batch_norm
"""
_POOL_AND_RESIZE = """
    _adaptive_avg_pool2d _adaptive_avg_pool3d _grid_sampler_2d_cpu_fallback _upsample_bicubic2d_aa
    _upsample_bilinear2d_aa _upsample_lanczos2d_aa _upsample_nearest_exact1d
    _upsample_nearest_exact2d _upsample_nearest_exact3d adaptive_avg_pool1d adaptive_avg_pool2d
    adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d avg_pool1d avg_pool2d avg_pool3d
    cudnn_grid_sampler fractional_max_pool2d fractional_max_pool3d grid_sampler_2d grid_sampler_3d
    max_pool1d max_pool2d max_pool2d_with_indices max_pool3d max_pool3d_with_indices
    mkldnn_adaptive_avg_pool2d mkldnn_max_pool2d mkldnn_max_pool3d quantized_max_pool1d
    quantized_max_pool2d quantized_max_pool3d upsample_bicubic2d upsample_bilinear2d
    upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_trilinear3d
"""
# With what PyTorch does not tag as pointwise although it is, or nearly.
_ACTIVATE = """
    __irshift__ _add_relu _log_softmax _log_softmax_backward_data _masked_softmax
    _nested_tensor_softmax_with_shape _prelu_kernel _safe_softmax _softmax _softmax_backward_data
    _sparse_log_softmax _sparse_log_softmax_backward_data _sparse_softmax
    _sparse_softmax_backward_data _thnn_fused_gru_cell _thnn_fused_lstm_cell
    _thnn_fused_lstm_cell_backward_impl copysign eq floor_divide gcd ge gelu glu glu_backward_jvp
    glu_jvp gt hardswish hardtanh heaviside lcm le linalg_cross log_sigmoid log_sigmoid_forward
    log_softmax lt mish ne rrelu_with_noise rrelu_with_noise_functional softmax
"""
_LOSSES = """
    _ctc_loss _cudnn_ctc_loss binary_cross_entropy binary_cross_entropy_with_logits huber_loss
    miopen_ctc_loss mse_loss multi_margin_loss multilabel_margin_loss
    multilabel_margin_loss_forward nll_loss nll_loss2d nll_loss2d_forward nll_loss_forward
    smooth_l1_loss soft_margin_loss
"""
_QUANTISE = """
    _fake_quantize_learnable_per_channel_affine _fake_quantize_learnable_per_tensor_affine
    _fake_quantize_per_tensor_affine_cachemask_tensor_qparams _fused_moving_avg_obs_fq_helper
    _fused_moving_avg_obs_fq_helper_functional _make_per_channel_quantized_tensor
    _make_per_tensor_quantized_tensor dequantize fake_quantize_per_channel_affine_cachemask
    fake_quantize_per_tensor_affine_cachemask int_repr quantize_per_channel quantize_per_tensor
    quantize_per_tensor_dynamic
"""
_ATEN = frozenset(
    " ".join(
        (_MAKE, _ASK, _MOVE, _REDUCE, _NORMALISE, _POOL_AND_RESIZE, _ACTIVATE, _LOSSES, _QUANTISE)
    ).split()
)
_QUANTIZED = """
    add add_out add_relu add_relu_out add_scalar add_scalar_out add_scalar_relu add_scalar_relu_out
    batch_norm batch_norm1d batch_norm1d_relu batch_norm2d batch_norm2d_relu batch_norm3d
    batch_norm3d_relu batch_norm_relu cat cat_out cat_relu cat_relu_out celu clamp dropout elu
    embedding_4bit embedding_byte group_norm hardswish instance_norm layer_norm leaky_relu
    max_pool1d max_pool2d mul mul_out mul_relu mul_relu_out mul_scalar mul_scalar_out
    mul_scalar_relu mul_scalar_relu_out prelu relu6 sigmoid softmax threshold
"""
_TORCHVISION = "nms roi_align roi_pool ps_roi_align ps_roi_pool"
_FREE = {
    "aten": _ATEN,
    "quantized": frozenset(_QUANTIZED.split()),
    "torchvision": frozenset(_TORCHVISION.split()),
}


@cache
def is_free(operator: Any) -> bool:
    """Tell whether an operator multiplies and accumulates nothing.

    It moves or makes data, works elementwise, reduces, pools, normalises, or tells a property.

    Args:
        operator: an overload, e.g. `torch.ops.aten.relu.default`. A third party's is free only if
            PyTorch knows it as pointwise or a view, whatever its name.
    """
    if not hasattr(operator, "_schema"):  # a higher-order operator
        return False
    if _is_tagged(operator):
        return True
    namespace, _, name = operator._schema.name.partition("::")
    return namespace in _FREE and any(
        form in _FREE[namespace] or (namespace == "aten" and _is_tagged_name(form))
        for form in _forms(name)
    )


def _forms(name: str) -> set[str]:
    """Give the names of operators that multiply something only if this one does."""
    forms = {name, name.rstrip("_")}
    forms |= {form.removeprefix("_foreach_") for form in forms}
    forms |= {form.removesuffix(end) for form in forms for end in ("_copy", "_backward")}
    return forms - {""}


def _is_tagged_name(name: str) -> bool:
    packet = getattr(torch.ops.aten, name, None)
    return packet is not None and any(_is_tagged(getattr(packet, o)) for o in packet.overloads())


def _is_tagged(operator: Any) -> bool:
    return torch.Tag.pointwise in operator.tags or bool(operator.is_view)
