"""Layers over two and three axes of space, and recurrences of convolutions."""

from __future__ import annotations

from typing import Any

from tests.conformance.keras_cases.registry import KERAS3_ONLY, VOCABULARY, add, case, chain

FIRST = {"data_format": "channels_first"}


def only_in_keras_3(*names: str) -> None:
    KERAS3_ONLY.update(names)


for _padding in ("valid", "same"):
    for _stride, _dilation, _groups in ((1, 1, 1), ((2, 1), 1, 2), (1, (1, 2), 1)):
        add(
            f"conv2d_{_padding}_{_groups}_{_dilation != 1:d}",
            lambda k, p=_padding, s=_stride, d=_dilation, g=_groups: chain(
                k,
                (7, 6, 4),
                k.layers.Conv2D(6, (3, 2), strides=s, padding=p, dilation_rate=d, groups=g, activation="relu"),
            ),
        )


@case
def convolutions_of_volumes(k: Any) -> Any:
    x, g = k.Input((4, 5, 3, 2)), k.layers
    return k.Model(
        x,
        [
            g.Conv3D(3, (2, 3, 1), padding="same")(x),
            g.Conv3D(3, 2, strides=(2, 1, 1))(x),
            g.Conv3DTranspose(2, 2, strides=2)(x),
            g.MaxPooling3D(2)(x),
            g.AveragePooling3D(2, padding="same")(x),
            g.GlobalMaxPooling3D()(x),
            g.GlobalAveragePooling3D(keepdims=True)(x),
            g.ZeroPadding3D((1, 0, 2))(x),
            g.Cropping3D(((1, 0), (0, 2), (1, 1)))(x),
            g.UpSampling3D((2, 1, 3))(x),
            g.SpatialDropout3D(0.5)(x),
        ],
    )


@case
def other_convolutions_of_images(k: Any) -> Any:
    x, g = k.Input((6, 5, 4)), k.layers
    apart = [
        g.SeparableConv2D(5, 3, padding="same", depth_multiplier=2)(x),
        g.DepthwiseConv2D((3, 2), depth_multiplier=2, activation="relu")(x),
        g.DepthwiseConv2D(2, strides=2, use_bias=False)(x),
    ]
    back = [g.Conv2DTranspose(3, 3, strides=2)(x), g.Conv2DTranspose(3, (4, 2), strides=2, padding="same")(x)]
    return k.Model(x, [*apart, *back, g.Conv2DTranspose(2, 2, strides=(3, 1), activation="tanh")(x)])


@case
def pools_of_images(k: Any) -> Any:
    x, g = k.Input((7, 6, 3)), k.layers
    return k.Model(x, [g.MaxPooling2D()(x), g.MaxPooling2D((3, 2), strides=1, padding="same")(x),
                       g.AveragePooling2D(2)(x), g.AveragePooling2D(3, strides=(2, 1), padding="same")(x),
                       g.GlobalMaxPooling2D()(x), g.GlobalMaxPooling2D(keepdims=True)(x),
                       g.GlobalAveragePooling2D()(x), g.GlobalAveragePooling2D(keepdims=True)(x)])  # fmt: skip


@case
def images_of_other_sizes(k: Any) -> Any:
    x, g = k.Input((5, 6, 3)), k.layers
    free = k.Input((None, None, 3))
    sizes = [
        g.ZeroPadding2D(2),
        g.ZeroPadding2D((1, 3)),
        g.ZeroPadding2D(((1, 2), (0, 3))),
        g.Cropping2D(((1, 2), (0, 3))),
        g.Cropping2D(1),
        g.UpSampling2D(2),
        g.UpSampling2D((1, 3)),
        g.SpatialDropout2D(0.5),
    ]
    shapes = [g.Reshape((3, 5, 6)), g.Reshape((-1, 2, 3)), g.Permute((3, 1, 2)), g.Flatten()]
    more = [g.UpSampling2D((2, 3)), g.ZeroPadding2D(1), g.Cropping2D(1), g.MaxPooling2D(2), g.Conv2D(2, 3),
            g.GlobalMaxPooling2D()]  # fmt: skip
    return k.Model([x, free], [*(layer(x) for layer in (*sizes, *shapes)), *(layer(free) for layer in more)])


@case
def images_channels_first(k: Any) -> Any:
    x, g = k.Input((3, 6, 5)), k.layers
    kinds = [
        g.Conv2D(4, (2, 3), **FIRST),
        g.DepthwiseConv2D(2, **FIRST),
        g.SeparableConv2D(4, 2, **FIRST),
        g.Conv2DTranspose(2, 2, strides=2, **FIRST),
        g.MaxPooling2D(2, **FIRST),
        g.AveragePooling2D(2, **FIRST),
        g.GlobalMaxPooling2D(**FIRST),
        g.GlobalAveragePooling2D(keepdims=True, **FIRST),
        g.ZeroPadding2D((1, 2), **FIRST),
        g.Cropping2D(((1, 0), (2, 1)), **FIRST),
        g.UpSampling2D((2, 3), **FIRST),
        g.Flatten(**FIRST),
    ]
    return k.Model(x, [layer(x) for layer in kinds])


@case
def sequences_channels_first(k: Any) -> Any:
    x, g = k.Input((3, 6)), k.layers
    return k.Model(x, [g.ZeroPadding1D((1, 2), **FIRST)(x), g.DepthwiseConv1D(2, **FIRST)(x),
                       g.AveragePooling1D(2, **FIRST)(x), g.SeparableConv1D(4, 2, **FIRST)(x)])  # fmt: skip


only_in_keras_3("images_channels_first", "sequences_channels_first", "convolutions_of_volumes")


@case
def images_step_by_step(k: Any) -> Any:
    g = k.layers
    inner = [g.Conv2D(3, 2, activation="relu"), g.MaxPooling2D(2), g.BatchNormalization(), g.Flatten()]
    return chain(k, (None, 6, 5, 2), *[g.TimeDistributed(layer) for layer in inner], g.LSTM(4))


@case
def norms_of_images(k: Any) -> Any:
    x, g = k.Input((4, 3, 6)), k.layers
    return k.Model(x, [g.BatchNormalization(axis=1)(x), g.LayerNormalization(axis=[1, 2, 3])(x),
                       g.LayerNormalization(axis=[2, 3])(x), g.UnitNormalization(axis=[1, 2])(x), g.PReLU()(x),
                       g.PReLU(shared_axes=[1, 2])(x)])  # fmt: skip


@case
def group_norms(k: Any) -> Any:
    x, y, g = k.Input((4, 3, 6)), k.Input((None, 6)), k.layers
    return k.Model([x, y], [g.GroupNormalization(3)(x), g.GroupNormalization(2, axis=1, epsilon=0.1)(x),
                            g.GroupNormalization(-1, scale=False)(x), g.GroupNormalization(1, center=False)(x),
                            g.GroupNormalization(2)(y), g.GroupNormalization(3, axis=-2)(x)])  # fmt: skip


@case
def root_mean_squares(k: Any) -> Any:
    x, g = k.Input((4, 6)), k.layers
    return k.Model(
        x,
        [
            g.RMSNormalization()(x),
            g.RMSNormalization(axis=[1, 2], epsilon=0.1)(x),
            g.LayerNormalization(rms_scaling=True)(x),
            g.LayerNormalization(rms_scaling=True, axis=1, scale=False)(x),
            g.SpectralNormalization(g.Dense(3))(x),
        ],
    )


@case
def softmax_of_several_axes(k: Any) -> Any:
    x, g = k.Input((3, 4, 5)), k.layers
    shown = x > 0
    return k.Model(x, [g.Softmax(axis=[1, 2])(x), g.Softmax(axis=(-1,))(x), g.Softmax()(x, mask=shown),
                       g.Softmax(axis=[2, 3])(x, mask=shown)])  # fmt: skip


@case
def activation_with_weights(k: Any) -> Any:
    """Keras neither trains nor saves the alpha of a PReLU inside another layer."""
    x, g = k.Input((5, 4)), k.layers
    inside = g.PReLU(alpha_initializer=k.initializers.Constant(0.25))
    return k.Model(x, [g.Dense(3, activation=inside)(x), g.Conv1D(3, 2, activation=g.PReLU(shared_axes=[1]))(x)])


@case
def classes_of_numbers(k: Any) -> Any:
    x, t, g = k.Input((4,)), k.Input((5,), dtype="int32"), k.layers
    bounds = {"bin_boundaries": [-0.5, 0.1, 0.9]}
    binned = [g.Discretization(output_mode=mode, **bounds)(x) for mode in ("int", "multi_hot", "count", "one_hot")]
    coded = [g.CategoryEncoding(VOCABULARY, output_mode=mode)(t) for mode in ("multi_hot", "count", "one_hot")]
    return k.Model([x, t], [*binned, *coded])


only_in_keras_3("group_norms", "root_mean_squares", "softmax_of_several_axes", "classes_of_numbers",
                "activation_with_weights")  # fmt: skip

for _name, _options in {
    "plain": {},
    "same": {"padding": "same", "return_sequences": True, "use_bias": False},
    "strided": {"strides": 2, "padding": "same", "return_sequences": True, "return_state": True},
    "dilated": {
        "dilation_rate": 2,
        "go_backwards": True,
        "return_sequences": True,
        "recurrent_activation": "hard_sigmoid",
    },
}.items():
    add(f"conv_lstm_{_name}", lambda k, o=_options: k.Model(*_one(k, (4, 7, 3), k.layers.ConvLSTM1D(5, 3, **o))))


def _one(k: Any, shape: tuple[int | None, ...], layer: Any) -> tuple[Any, Any]:
    x = k.Input(shape)
    return x, layer(x)


@case
def conv_lstm_of_images(k: Any) -> Any:
    x, g = k.Input((3, 5, 4, 2)), k.layers
    whole = g.ConvLSTM2D(3, (2, 3), return_sequences=True)(x)
    return k.Model(x, [whole, g.ConvLSTM2D(2, 2, padding="same", activation="relu")(whole)])


@case
def conv_lstm_of_volumes(k: Any) -> Any:
    return chain(k, (3, 4, 3, 3, 2), k.layers.ConvLSTM3D(2, 2))


@case
def conv_lstm_channels_first(k: Any) -> Any:
    x, g = k.Input((3, 2, 7)), k.layers
    return k.Model(x, g.ConvLSTM1D(3, 3, return_sequences=True, return_state=True, **FIRST)(x))


@case
def conv_lstm_free_time(k: Any) -> Any:
    x, g = k.Input((None, 6, 2)), k.layers
    whole, h, c = g.ConvLSTM1D(3, 3, return_sequences=True, return_state=True)(x)
    back = g.ConvLSTM1D(3, 3, padding="same", go_backwards=True, return_sequences=True)(whole)
    return k.Model(x, [back, g.ConvLSTM1D(3, 3, padding="same")(whole, initial_state=[h, c])])


@case
def conv_lstm_masked(k: Any) -> Any:
    """With the steps declared, and with them free."""
    g, inputs, outputs = k.layers, [], []
    for steps in (7, None):
        t = k.Input((steps,), dtype="int32")
        e = g.Embedding(VOCABULARY, 12, mask_zero=True)(t)
        x = g.Reshape((-1 if steps is None else steps, 6, 2))(e)
        shown = k.ops.not_equal(t, 0)
        inputs.append(t)
        outputs += [g.ConvLSTM1D(2, 3, **o)(x, mask=shown) for o in (
            {"return_sequences": True}, {"return_sequences": True, "zero_output_for_mask": True},
            {"go_backwards": True, "return_state": True})]  # fmt: skip
    return k.Model(inputs, [v for y in outputs for v in (y if isinstance(y, (list, tuple)) else [y])])


only_in_keras_3("conv_lstm_channels_first", "conv_lstm_masked")
