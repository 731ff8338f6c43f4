"""The layers against a real cuDNN, through PyTorch: needs a GPU, and PyTorch with CUDA."""

import numpy as np
import pytest
import tensorflow as tf

from unroll.models.recurrent import GRU, LSTM, SimpleRNN, cudnn

torch = pytest.importorskip("torch", reason="PyTorch is not installed.")
if not torch.cuda.is_available():
    pytest.skip("PyTorch finds no GPU, on which cuDNN would run.", allow_module_level=True)

TIME, BATCH, FEATURES, UNITS = 9, 4, 5, 6
# Our layer, PyTorch's, and the gates in its order.
CELLS = {
    "lstm": (LSTM, {}, "LSTM", {}, ("input", "forget", "candidate", "output")),
    "gru": (GRU, {}, "GRU", {}, ("reset", "update", "candidate")),
    "rnn_tanh": (SimpleRNN, {}, "RNN", {"nonlinearity": "tanh"}, ("recurrent",)),
    "rnn_relu": (SimpleRNN, {"activation": "relu"}, "RNN", {"nonlinearity": "relu"}, ("recurrent",)),
}


@pytest.fixture(params=CELLS)
def both(request, rng):
    """Our layer, and PyTorch's on the GPU with the same weights."""
    kind, options, torch_name, torch_options, torch_gates = CELLS[request.param]
    layer = kind(UNITS, return_sequences=True, **options)
    layer.build([BATCH, TIME, FEATURES])
    layer.set_weights([rng.normal(size=w.shape, scale=0.5).astype("float32") for w in layer.get_weights()])
    theirs = getattr(torch.nn, torch_name)(FEATURES, UNITS, **torch_options).cuda()
    order = [layer.cell.gate_names.index(gate) for gate in torch_gates]
    kernel, recurrent_kernel, bias = (w.numpy() for w in layer.weights)
    # Of a single bias, cuDNN gets zeros for the input's product and the bias for that of h, as in stock Keras.
    biases = bias if bias.ndim == 2 else np.stack([np.zeros_like(bias), bias])
    with torch.no_grad():
        for name, weights in (("weight_ih_l0", kernel), ("weight_hh_l0", recurrent_kernel)):
            gates = np.split(weights, len(order), axis=1)
            rows = np.concatenate([gates[gate].T for gate in order])
            getattr(theirs, name).copy_(torch.from_numpy(rows))
        for name, values in zip(("bias_ih_l0", "bias_hh_l0"), biases, strict=True):
            gates = np.split(values, len(order))
            getattr(theirs, name).copy_(torch.from_numpy(np.concatenate([gates[gate] for gate in order])))
    return layer, theirs


def test_packed_weights_are_those_of_cudnn(both):
    layer, theirs = both
    packed = cudnn.parameters(layer, layer.recurrent_weights()).numpy()
    # PyTorch keeps the weights in one buffer, as cuDNN asks for them; the parameters are views of it.
    storage = theirs.weight_ih_l0.untyped_storage()
    buffer = torch.empty(0, device="cuda").set_(storage, 0, (storage.nbytes() // 4,))
    np.testing.assert_array_equal(packed, buffer.detach().cpu().numpy())


def test_outputs_are_those_of_cudnn(both, rng):
    layer, theirs = both
    x = rng.normal(size=(TIME, BATCH, FEATURES)).astype("float32")
    with torch.no_grad():
        expected, _ = theirs(torch.from_numpy(x).cuda())
    found = layer(tf.constant(x.swapaxes(0, 1)))
    np.testing.assert_allclose(found, expected.cpu().numpy().swapaxes(0, 1), atol=2e-5)
