"""Lets graphs with custom gradients be freed.

TensorFlow registers the gradient function of each trace of a `tf.custom_gradient` under a name of its own, for ever.
The function holds the whole graph, so every trace would stay in memory, and a process that trains again and again would
grow. Here the graph holds the function, and the registry refers to it weakly.
"""

import weakref
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops

# The graph's collection of gradient functions.
_HELD = "unroll_gradients"


def release_all_with_graph(graph: tf.Graph) -> None:
    """Lets a graph be freed whose operations have custom gradients. Graphs inside it are left alone."""
    for operation in graph.get_operations():
        # The type of operation that `tf.custom_gradient` makes.
        if operation.type == "IdentityN":
            release_with_graph(operation)


def release_with_graph(operation: tf.Operation) -> None:
    """Lets the graph be freed of an operation whose outputs a `tf.custom_gradient` returned."""
    if "_gradient_op_type" not in operation.node_def.attr:
        return
    name, graph = operation.get_attr("_gradient_op_type").decode(), operation.graph
    # TensorFlow has no public way to take a gradient out again.
    registry: dict[str, dict[str, Any]] = getattr(ops.gradient_registry, "_registry", {})
    function = registry[name]["type"] if name in registry else None
    if function is None or function in graph.get_collection(_HELD):
        return
    of_graph = weakref.ref(function)

    def call(*arguments: Any) -> Any:
        gradient = of_graph()
        assert gradient is not None, "The graph holds it."
        return gradient(*arguments)

    graph.add_to_collection(_HELD, function)
    graph.add_to_collection(_HELD, call)
    registry[name]["type"] = call
    weakref.finalize(graph, registry.pop, name, None)
