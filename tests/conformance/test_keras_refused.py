"""Every layer of Keras runs, or is refused by name with the reason and a way out."""

from __future__ import annotations

import json

import pytest

from rnnrt import layers as L
from rnnrt.errors import UnsupportedModelError
from rnnrt.formats.keras_refused import NO_LAYERS, REFUSED, table
from rnnrt.models import model_from_json
from tests.conformance.keras_files import layer, sequential
from tests.conformance.test_keras_layers import framework

IN_KERAS_3_15 = (
    "Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D "
    "AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention "
    "AugMix AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D "
    "BatchNormalization Bidirectional CategoryEncoding CenterCrop Concatenate "
    "ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D "
    "Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D Convolution1DTranspose Convolution2D "
    "Convolution2DTranspose Convolution3D Convolution3DTranspose Cropping1D Cropping2D Cropping3D CutMix Dense "
    "DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout ELU EinsumDense Embedding Equalization Flatten "
    "FlaxLayer GRU GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D "
    "GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D "
    "GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization "
    "GroupQueryAttention HashedCrossing Hashing Identity InputLayer InputSpec IntegerLookup JaxLayer LSTM "
    "LSTMCell Lambda Layer LayerNormalization LeakyReLU Masking MaxNumBoundingBoxes MaxPool1D MaxPool2D MaxPool3D "
    "MaxPooling1D MaxPooling2D MaxPooling3D Maximum MelSpectrogram Minimum MixUp MultiHeadAttention Multiply "
    "Normalization PReLU Permute Pipeline RMSNormalization RNN RandAugment RandomBrightness "
    "RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing "
    "RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization "
    "RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation RandomZoom ReLU RepeatVector "
    "Rescaling Reshape Resizing ReversibleEmbedding STFTSpectrogram SeparableConv1D SeparableConv2D "
    "SeparableConvolution1D SeparableConvolution2D SimpleRNN SimpleRNNCell Softmax Solarization SpatialDropout1D "
    "SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells StringLookup Subtract TFSMLayer "
    "TextVectorization TimeDistributed TorchModuleWrapper UnitNormalization UpSampling1D UpSampling2D "
    "UpSampling3D Wrapper ZeroPadding1D ZeroPadding2D ZeroPadding3D"
).split()


def test_every_layer_of_keras_is_accounted_for() -> None:
    known = {*L.LAYERS, *L.ALIASES, *REFUSED, *NO_LAYERS}
    assert set(IN_KERAS_3_15) <= known
    assert not {*L.LAYERS, *L.ALIASES} & {*REFUSED, *NO_LAYERS}
    assert all(getattr(L, name) is L.LAYERS[meant] for name, meant in L.ALIASES.items())


def test_the_list_is_that_of_keras() -> None:
    keras = framework(3)
    found = {n for n, v in vars(keras.layers).items() if isinstance(v, type)}
    if keras.__version__.startswith("3.15."):
        assert found == set(IN_KERAS_3_15)


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_the_message_tells_why_and_what_to_do(kind: str) -> None:
    text = json.dumps(sequential(layer(kind, "mine")))
    with pytest.raises(UnsupportedModelError) as error:
        model_from_json(text)
    (reason,) = error.value.reasons
    why, do = REFUSED[kind]
    assert reason.startswith(f"layer 'mine' ({kind}): rnnrt has no such layer, for {why}; {do}")


def test_an_unknown_layer_is_told_about_custom_objects() -> None:
    with pytest.raises(UnsupportedModelError, match=r"rnnrt has no such layer; give .*custom_objects="):
        model_from_json(json.dumps(sequential(layer("Elsewhere", "mine"))))


def test_the_table_for_the_documentation_has_every_name() -> None:
    lines = table().splitlines()
    assert lines[1] == "|---|---|---|"
    assert all(line.count("|") == 4 for line in lines)
    assert {name.strip() for line in lines[2:] for name in line.split("|")[1].split(",")} == set(REFUSED)
