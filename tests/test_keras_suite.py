"""Keras' own tests of its recurrent layers, from the installed package, with our layers instead of Keras'."""

import keras
import pytest
from keras.src import layers
from keras.src.layers.rnn import (
    bidirectional_test,
    gru_test,
    lstm_test,
    simple_rnn_test,
    time_distributed_test,
)

from unroll.models.recurrent import GRU, LSTM, SimpleRNN

OURS = {"GRU": GRU, "LSTM": LSTM, "SimpleRNN": SimpleRNN}
_FUSED = "asks whether Keras may replace two of its layers by one call of cuDNN"
LEFT_OUT = {
    "TestBidirectional.test_fused_lstm_eligibility": _FUSED,
    "TestBidirectional.test_fused_gru_eligibility": _FUSED,
}


@pytest.fixture(autouse=True)
def ours_in_place_of_stock(request, monkeypatch):
    for name, kind in OURS.items():
        monkeypatch.setattr(layers, name, kind)
        monkeypatch.setattr(keras.layers, name, kind)
    reason = LEFT_OUT.get(f"{request.cls.__name__}.{request.node.name}")
    if reason:
        pytest.skip(reason)


class TestLSTM(lstm_test.LSTMTest):
    pass


class TestGRU(gru_test.GRUTest):
    pass


class TestSimpleRNN(simple_rnn_test.SimpleRNNTest):
    pass


# Keras calls this class SimpleRNNTest, too.
class TestBidirectional(bidirectional_test.SimpleRNNTest):
    pass


class TestTimeDistributed(time_distributed_test.TimeDistributedTest):
    pass
