"""Make the model files of one version of Keras in tests/data/keras/vintages: ``python tools/make_keras_vintages.py``.

Run it with the Python of an environment that holds the version, from Keras 1.2.2 on Python 3.6 to Keras 3; it needs
nothing of rnnrt. The first argument, if any, is "keras" or "tf.keras". One archive for each version and backend
holds the files, and beside each the inputs and the outputs that Keras itself gave.
"""

import json
import os
import shutil
import sys
import tempfile
import zipfile
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tests", "data", "keras", "vintages")
WORDS, STEPS, FEATURES = 9, 6, 3


def find_keras(kind):
    """The module, and the name of its version for the archive."""
    if kind == "tf.keras":
        from tensorflow import keras as module

        return module, getattr(module, "__version__", None) or __import__("keras").__version__
    import keras as module

    backend = module.backend.backend()
    version = module.__version__
    return module, version + ("-theano" if backend == "theano" else "")


class Writer:
    """Saves models of one version, with the weights drawn anew, and what they answer."""

    def __init__(self, keras, folder):
        self.keras, self.folder = keras, folder

    def save(self, name, model, ending, answers=None, feeds=None, **options):
        """Save a whole model; `answers` is the model to ask, where the saved one cannot run."""
        rng = np.random.RandomState(zlib.crc32(name.encode()) % 2**31)
        feeds = self.draw(model, rng) if feeds is None else feeds
        path = os.path.join(self.folder, name + ending)
        if ending == ".weights":  # a file of weights alone, and the architecture as text
            path += ".h5"
            model.save_weights(path)
            with open(os.path.join(self.folder, name + ".weights.h5.json"), "w") as stream:
                stream.write(model.to_json())
        else:
            model.save(path, **options)
        self.record(path, answers or model, feeds)
        return path

    def record(self, path, model, feeds):
        """Keep what the model answers."""
        outputs = model.predict(feeds if len(feeds) > 1 else feeds[0])
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        arrays = {"x" + str(k): x for k, x in enumerate(feeds)}
        arrays.update({"y" + str(k): np.asarray(y) for k, y in enumerate(outputs)})
        np.savez_compressed(path + ".npz", **arrays)
        print(os.path.basename(path), [np.shape(y) for y in outputs])

    def draw(self, model, rng):
        """Weights that no initializer gives, and inputs with steps that are masked."""
        model.set_weights([rng.uniform(0.2, 0.8, np.shape(w)).astype(np.float32) for w in model.get_weights()])
        # Variances have one axis, and may not be negative.
        model.set_weights([w * rng.choice([-1, 1], w.shape) if w.ndim > 1 else w for w in model.get_weights()])
        feeds = []
        for tensor in model.inputs:
            shape = tensor.shape if hasattr(tensor, "shape") and not hasattr(tensor, "_keras_shape") else None
            shape = [getattr(d, "value", d) for d in (shape if shape is not None else tensor._keras_shape)]
            shape = [2] + [STEPS if d is None else d for d in shape[1:]]
            if "int" in str(tensor.dtype):
                x = rng.randint(1, WORDS, shape)
                x[0, -2:], x[1, :2], x[1, 4:5] = 0, 0, 0
                feeds.append(x.astype("int32"))
                continue
            x = rng.uniform(-1, 1, shape).astype(np.float32)
            if len(shape) == 3:
                x[0, -1], x[1, :2] = 0, 0
            feeds.append(x)
        return feeds


def models_of_keras_1(keras, writer):
    from keras.models import Model, Sequential
    from keras.regularizers import EigenvalueRegularizer, l2

    L = keras.layers

    def tokens():
        return Sequential(
            [
                L.Embedding(WORDS, 3, input_length=STEPS, mask_zero=True, dropout=0.1),
                L.GRU(
                    4, return_sequences=True, consume_less="cpu", dropout_W=0.1, dropout_U=0.2, W_regularizer=l2(0.01)
                ),
                L.LSTM(3, consume_less="gpu", return_sequences=True, inner_activation="sigmoid"),
                L.LSTM(3, consume_less="mem", forget_bias_init="zero", U_regularizer=EigenvalueRegularizer(0.1)),
                L.Dropout(0.3),
                L.Dense(2, activation="softmax", bias=False),
            ]
        )

    model = tokens()
    model.compile("rmsprop", "mse", metrics=["accuracy"])
    writer.save("tokens", model, ".h5")
    writer.save("tokens", tokens(), ".weights")
    writer.save("convolutions", Sequential([
        L.Convolution1D(4, 3, border_mode="same", activation="relu", input_shape=(STEPS * 4, FEATURES)),
        L.AtrousConvolution1D(3, 2, atrous_rate=2, bias=False),
        L.MaxPooling1D(pool_length=3, stride=2, border_mode="valid"),
        L.BatchNormalization(mode=0, epsilon=0.01),
        L.ZeroPadding1D(2),
        L.Convolution1D(3, 3, subsample_length=2),
        L.LeakyReLU(0.2),
        L.UpSampling1D(2),
        L.AveragePooling1D(2),
        L.PReLU(),
        L.ELU(0.7),
        L.SpatialDropout1D(0.2),
        L.GaussianNoise(0.1),
        L.GaussianDropout(0.1),
        L.TimeDistributed(L.Dense(3)),
        L.ThresholdedReLU(0.1),
        L.Flatten(),
        L.RepeatVector(2),
        L.GlobalMaxPooling1D(),
    ]), ".h5")  # fmt: skip
    writer.save("masked", Sequential([
        L.Masking(0.0, input_shape=(STEPS, FEATURES)),
        L.Bidirectional(L.GRU(3, return_sequences=True, unroll=True), merge_mode="ave"),
        L.Bidirectional(L.LSTM(2, return_sequences=True)),
        L.SimpleRNN(3, go_backwards=True, activation="relu", return_sequences=True),
        L.Activation("hard_sigmoid"),
    ]), ".h5")  # fmt: skip
    a, b = L.Input((STEPS, FEATURES), name="a"), L.Input((STEPS, FEATURES), name="b")
    shared = L.LSTM(3, return_sequences=True)
    left, right = shared(a), shared(b)
    inner_in = L.Input((STEPS, 3), name="inner_in")
    inner = Model(inner_in, L.BatchNormalization()(L.GRU(3, return_sequences=True)(inner_in)), name="inner")
    left = inner(left)
    joined = [L.merge([left, right], mode=mode) for mode in ("sum", "mul", "ave", "max", "concat")]
    joined.append(L.merge([left, right], mode="concat", concat_axis=1))
    joined.append(L.merge([left, right], mode="dot", dot_axes=[2, 2]))
    flat = [L.Flatten()(left), L.Flatten()(right)]
    joined.append(L.merge(flat, mode="dot", dot_axes=1))
    joined.append(L.merge(flat, mode="cos", dot_axes=1))
    writer.save("merges", Model([b, a], joined), ".h5")
    one = Sequential([L.Dense(3, input_dim=4), L.Activation("tanh")])
    two = Sequential([L.LSTM(3, input_shape=(None, FEATURES))])
    writer.save("merge_first", Sequential([L.Merge([one, two], mode="concat"), L.Dense(2)]), ".h5")
    writer.save("old_layers", Sequential([
        L.TimeDistributedDense(4, input_shape=(STEPS, FEATURES)),
        L.SimpleRNN(4),
        L.Highway(activation="tanh"),
        L.MaxoutDense(3, nb_feature=2),
    ]), ".h5")  # fmt: skip


def models_of_keras_2(keras, writer, ending):
    """Models of Keras 2 and 3; everything that changed from one version to another is in one of them."""
    L = keras.layers
    Model, Sequential = keras.models.Model, keras.models.Sequential
    major = int(keras.__version__.split(".")[0])
    minor = (
        [int(p) for p in keras.__version__.split("-")[0].split(".")[:2]] if hasattr(keras, "__version__") else [2, 13]
    )
    old_gru = {"reset_after": True} if minor >= [2, 1] and hasattr(L.GRU(2), "reset_after") else {}

    def tokens():
        x = L.Input((None,), dtype="int32", name="tokens")
        y = L.Embedding(WORDS, 3, mask_zero=True)(x)
        both = L.Bidirectional(L.LSTM(3, return_sequences=True, recurrent_activation="hard_sigmoid"))(y)
        seen = L.TimeDistributed(L.Dense(2, activation="tanh"))(both)
        last = L.Bidirectional(L.GRU(2, implementation=2) if major < 3 else L.GRU(2), merge_mode="sum")(both)
        return Model(x, [both, seen, L.Dense(2, activation="softmax")(last)])

    class Odd(keras.regularizers.Regularizer):
        """A regularizer that nobody knows, under a name that others have too."""

        def __call__(self, x):
            return 0.0 * keras.backend.sum(x) if major < 3 else 0.0 * keras.ops.sum(x)

        def get_config(self):
            return {"odd": 1}

    Odd.__name__ = "L2"

    def strange():
        return Sequential([
            L.SimpleRNN(3, kernel_regularizer=Odd(), go_backwards=True, unroll=True, input_shape=(STEPS, FEATURES)),
            L.Dense(2, bias_constraint=keras.constraints.NonNeg(), name="odd"),
        ])  # fmt: skip

    def states():
        x, h, c = L.Input((STEPS, FEATURES), name="x"), L.Input((3,), name="h"), L.Input((3,), name="c")
        kept = L.Masking()(x)
        y, h1, c1 = L.LSTM(3, return_state=True, return_sequences=True)(kept, initial_state=[h, c])
        z = L.GRU(3, return_sequences=True, **old_gru)(y, initial_state=h1)
        return Model([x, h, c], [y, c1, z])

    def nested():
        inner_in = L.Input((STEPS, FEATURES))
        normed = L.BatchNormalization()(L.Conv1D(FEATURES, 3, padding="causal", dilation_rate=2)(inner_in))
        inner = Model(inner_in, L.GRU(FEATURES, return_sequences=True)(normed), name="inner")
        chain = Sequential([L.Dense(FEATURES, input_shape=(STEPS, FEATURES)), L.LeakyReLU(), L.BatchNormalization()])
        a, b = L.Input((STEPS, FEATURES), name="a"), L.Input((STEPS, FEATURES), name="b")
        p, q = chain(inner(a)), inner(b)
        y = L.Concatenate()([p, q, L.Subtract()([inner(q), a])])
        return Model([a, b], [L.MaxPooling1D(2)(y), L.GlobalAveragePooling1D()(p)])

    writer.save("tokens", tokens(), ending)
    model = strange()
    loss = lambda want, got: keras.backend.mean(want - got) if major < 3 else keras.ops.mean(want - got)  # noqa: E731
    model.compile("adam", loss)
    model.fit(np.zeros((2, STEPS, FEATURES)), np.zeros((2, 2)), verbose=0)  # the optimizer has arrays to save
    writer.save("strange", model, ending)
    writer.save("states", states(), ending)
    writer.save("nested", nested(), ending)
    writer.save("nested", nested(), ".weights")
    writer.save("tokens", tokens(), ".weights")
    if ending == ".keras" and minor != [3, 0]:
        writer.save("nested", nested(), ".h5")
    if hasattr(L, "StackedRNNCells"):
        cells = [L.LSTMCell(3), L.GRUCell(2)]
        writer.save("cells", Sequential([L.RNN(cells, return_sequences=True, input_shape=(None, FEATURES))]), ending)
    if hasattr(L, "CuDNNLSTM"):
        cudnn(keras, writer)
    if major < 3 and hasattr(L.SimpleRNN(2), "time_major"):
        x, s = L.Input((2, FEATURES), name="x"), L.Input((3,), name="s")
        y = L.LSTM(3, time_major=True, return_sequences=True)(x)
        both = L.Bidirectional(L.GRU(2, time_major=True, return_sequences=True, reset_after=True))(y)
        last = L.SimpleRNN(3, time_major=True, go_backwards=True)(both, initial_state=s)
        time_major = Model([x, s], [both, last])
        rng = np.random.RandomState(5)
        feeds = [rng.uniform(-1, 1, (4, 2, FEATURES)), rng.uniform(-1, 1, (2, 3))]
        time_major.set_weights([rng.uniform(-1, 1, w.shape) for w in time_major.get_weights()])
        path = os.path.join(writer.folder, "time_major" + ending)
        time_major.save(path)
        feeds = [f.astype(np.float32) for f in feeds]
        asked = [np.asarray(y) for y in (time_major(feeds) if hasattr(keras, "ops") or minor >= [2, 4] else [])]
        if asked:
            np.savez_compressed(path + ".npz", x0=feeds[0], x1=feeds[1], y0=asked[0], y1=asked[1])
        else:
            os.remove(path)


def models_of_theano(keras, writer):
    """Theano turns the kernels of convolutions round."""
    L = keras.layers
    for name, padding in (("valid", "valid"), ("same", "same")):
        first = L.Conv1D(4, 3, padding=padding, input_shape=(STEPS, FEATURES))
        writer.save("conv_" + name, keras.models.Sequential([first, L.Conv1D(2, 2), L.GRU(3)]), ".h5")


def cudnn(keras, writer):
    """The layers for cuDNN cannot run here: Keras's conversion makes their weights of those of plain layers."""
    import h5py

    try:
        from keras.engine.saving import preprocess_weights_for_loading
    except ImportError:
        from tensorflow.python.keras.saving.hdf5_format import preprocess_weights_for_loading
    L = keras.layers
    x = L.Input((STEPS, FEATURES), name="x")
    memory = L.LSTM(2, recurrent_activation="sigmoid", return_sequences=True, name="memory")
    gated = L.GRU(3, reset_after=True, recurrent_activation="sigmoid", name="gated")
    plain = keras.models.Model(x, gated(L.Bidirectional(memory, name="both")(x)))
    path = os.path.join(writer.folder, "cudnn.h5")
    other = os.path.join(writer.folder, "cudnn_in_plain.weights.h5")
    writer.save("cudnn", plain, ".h5")
    with open(other + ".json", "w") as stream:
        stream.write(plain.to_json())
    shutil.copy(path + ".npz", other + ".npz")
    fast = {
        "both": L.Bidirectional(L.CuDNNLSTM(2, return_sequences=True, name="memory"), name="both"),
        "gated": L.CuDNNGRU(3, name="gated"),
    }
    with h5py.File(path, "a") as file:
        config = json.loads(plain.to_json())
        for layer in config["config"]["layers"]:
            if layer["name"] in fast:
                made = fast[layer["name"]]
                layer["class_name"], layer["config"] = type(made).__name__, made.get_config()
        file.attrs["model_config"] = json.dumps(config).encode()
        for name, layer in fast.items():
            group = file["model_weights"][name]
            names = group.attrs["weight_names"]
            arrays = preprocess_weights_for_loading(layer, [group[n][()] for n in names], "2", "tensorflow")
            for n, array in zip(names, arrays):  # noqa: B905
                del group[n]
                group[n] = array
    shutil.copy(path, other)


def npz_weights(keras, folder):
    """A .keras file whose weights are kept as .npz, as where h5py is missing."""
    from keras.src.saving import saving_lib as lib

    L = keras.layers
    model = keras.models.Sequential([L.Input((STEPS, FEATURES)), L.LSTM(3), L.BatchNormalization(), L.Dense(2)])
    writer = Writer(keras, folder)
    feeds = writer.draw(model, np.random.RandomState(4))
    path = os.path.join(folder, "npz.keras")
    lib.save_model(model, path, weights_format="npz")
    writer.record(path, model, feeds)


def main():
    """Write the archive."""
    keras, version = find_keras(sys.argv[1] if len(sys.argv) > 1 else "keras")
    folder = tempfile.mkdtemp()
    writer = Writer(keras, folder)
    if version.startswith("1."):
        models_of_keras_1(keras, writer)
    elif version.endswith("theano"):
        models_of_theano(keras, writer)
    else:
        numbers = [int(p) for p in version.split("-")[0].split(".")[:2]]
        models_of_keras_2(keras, writer, ".keras" if numbers >= [2, 13] else ".h5")
        if [2, 13] <= numbers < [3, 0]:  # Keras 3 pickles its own objects there, and cannot read them either
            npz_weights(keras, folder)
    with zipfile.ZipFile(os.path.join(FOLDER, version + ".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), "rb") as stream:
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), stream.read(), zipfile.ZIP_DEFLATED)
    shutil.rmtree(folder)
    print(version, os.path.getsize(os.path.join(FOLDER, version + ".zip")))


if __name__ == "__main__":
    main()
