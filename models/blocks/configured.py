"""Layers and models that are made of a group of options."""

import dataclasses
from typing import Any, ClassVar, Self

from ...common.options import OptionGroup


class Configured:
    """Serialises a Keras layer or model that is made of options and a few more arguments. Comes before Keras' class.

    Attributes:
        options_class: Class of the options.
        options: Argument `options` of the constructor.
        arguments: Its other arguments by name, but those of Keras.
    """

    options_class: ClassVar[type[OptionGroup]]
    options: OptionGroup
    arguments: dict[str, Any]

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` makes the same object of."""
        return super().get_config() | self.arguments | {"options": dataclasses.asdict(self.options)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Makes the object that returned this configuration again, with new weights."""
        return super().from_config(config | {"options": cls.options_class(**config["options"])})
