"""Serialisation of layers and models that are made from a group of options."""

import dataclasses
from typing import Any, ClassVar, Generic, Self, TypeVar

import keras

from ...common.options import OptionGroup

OptionsT = TypeVar("OptionsT", bound=OptionGroup)


class Configured(keras.layers.Layer, Generic[OptionsT]):
    """A Keras layer or model that is made from options and a few more arguments, and serialised by them.

    A model names `keras.Model` after this class among its base classes.

    Attributes:
        options_class: Class of the options.
        options: Argument `options` of the constructor.
        arguments: Its other arguments by name, without those of Keras.
    """

    options_class: ClassVar[type[OptionGroup]]
    options: OptionsT
    arguments: dict[str, Any]

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments for `from_config`, as JSON can hold them."""
        return super().get_config() | self.arguments | {"options": dataclasses.asdict(self.options)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Makes an object from `get_config`, with new weights."""
        return super().from_config(config | {"options": cls.options_class(**config["options"])})
