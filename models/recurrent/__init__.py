"""Recurrent layers whose backward pass is written by hand, once, for all of them."""

from .gru import GRU
from .layer import RecurrentLayer
from .lstm import LSTM
from .simple_rnn import SimpleRNN
from .stack import CELLS, RecurrentStack, States

__all__ = ["CELLS", "GRU", "LSTM", "RecurrentLayer", "RecurrentStack", "SimpleRNN", "States"]
