"""Recurrent layers whose backward pass is written by hand, once, for all of them."""

from unroll.models.recurrent.layer import RecurrentLayer
from unroll.models.recurrent.lstm import LSTM
from unroll.models.recurrent.simple_rnn import SimpleRNN
from unroll.models.recurrent.stack import CELLS, RecurrentStack, States

__all__ = ["CELLS", "LSTM", "RecurrentLayer", "RecurrentStack", "SimpleRNN", "States"]
