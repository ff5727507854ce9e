"""Trees for a file that lacks some of their features: where a split asks for one, both branches answer.

Each weighs as many training cells as it had. To read an absent feature as zero says that a cell does
not express it, and is false in every such split; the sum over branches is what the tree says of the
training cells that are like this one in all that was measured. What comes out are trees again, so that
xgboost predicts with them: a mean of two trees is a sum of two with smaller leaves, and a tree of which
nothing is left is a constant.

Means are meek: what is left speaks with a smaller voice, while temperature was fitted to the whole. So
scores are to be multiplied by what the spread of the trees has lost (docs/decisions/classifiers.md).
"""

import json
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, NamedTuple, Self

import numpy as np

ROOT = 2_147_483_647  # who the parent of a root is


class _Split(NamedTuple):
    feature: int
    condition: float
    default_left: int
    left: "_Node"
    right: "_Node"


class _Node(NamedTuple):
    """A leaf, or a split; `cover` is the weight of its training cells."""

    cover: float
    value: float = 0.0
    split: _Split | None = None

    def turned(self, factor: float, more: float) -> Self:
        """The same with every leaf times `factor`, and `more` added."""
        if self.split is None:
            return self._replace(value=self.value * factor + more)
        left, right = (each.turned(factor, more) for each in self.split[3:])
        return self._replace(split=self.split._replace(left=left, right=right))


class Left(NamedTuple):
    """What is left of trees: a saved model (JSON), and what its scores are to be multiplied by."""

    forest: bytes
    worth: float


def without(forest: bytes, present: np.ndarray) -> Left:
    """Of a saved model (JSON), trees that ask for `present` (features,) features alone."""
    saved = json.loads(forest)
    model = saved["learner"]["gradient_booster"]["model"]
    constant: dict[int, float] = {}
    trees: list[tuple[int, _Node]] = []
    for tree, code in zip(model["trees"], model["tree_info"], strict=True):
        for node in _expanded(tree, 0, present):
            if node.split is None:
                constant[code] = constant.get(code, 0.0) + node.value
            else:
                trees.append((code, node))
    trees += [(code, _Node(1.0, value)) for code, value in sorted(constant.items())]
    like, whole = model["trees"][0], _spread(model)
    model["trees"] = [_written(node, like, number) for number, (_, node) in enumerate(trees)]
    model["tree_info"] = [code for code, _ in trees]
    model["iteration_indptr"] = [0, len(trees)]
    model["gbtree_model_param"]["num_trees"] = str(len(trees))
    left = _spread(model)
    return Left(json.dumps(saved).encode(), max(1.0, whole / left) if left > 0 else 1.0)


def _spread(model: dict[str, Any]) -> float:
    """Deviation of the leaves over training cells, summed over the trees."""
    total = 0.0
    for tree in model["trees"]:
        ends = np.array(tree["left_children"]) < 0
        value = np.array(tree["split_conditions"])[ends]
        share = np.array(tree["sum_hessian"])[ends]
        share = share / max(float(share.sum()), 1e-30)
        total += float(np.sqrt(share @ (value - share @ value) ** 2))
    return total


def _expanded(tree: dict[str, Any], at: int, present: np.ndarray) -> list[_Node]:
    """Nodes that sum to what the tree says from `at` on; a leaf is alone."""
    cover = float(tree["sum_hessian"][at])
    if tree["left_children"][at] < 0:
        return [_Node(cover, float(tree["split_conditions"][at]))]
    ends = tree["left_children"][at], tree["right_children"][at]
    left, right = (_expanded(tree, end, present) for end in ends)
    covers = [float(tree["sum_hessian"][end]) for end in ends]
    feature = tree["split_indices"][at]
    if not present[feature]:
        share = covers[0] / sum(covers) if sum(covers) > 0 else 0.5
        both = [node.turned(share, 0.0) for node in left]
        both += [node.turned(1 - share, 0.0) for node in right]
        return _gathered(both, cover)
    condition, default = tree["split_conditions"][at], tree["default_left"][at]
    nothing = [_Node(each) for each in covers]
    return [
        _Node(cover, 0.0, _Split(feature, condition, default, a or nothing[0], b or nothing[1]))
        for a, b in zip_longest(left, right)
    ]


def _gathered(nodes: list[_Node], cover: float) -> list[_Node]:
    """The same sum with its constants in one place."""
    constant = sum(node.value for node in nodes if node.split is None)
    splits = [node for node in nodes if node.split is not None]
    if not splits:
        return [_Node(cover, constant)]
    return [splits[0].turned(1.0, constant), *splits[1:]]


def _written(root: _Node, like: dict[str, Any], number: int) -> dict[str, Any]:
    """A tree as xgboost saves it; `like` is one of the same version."""
    rows = list(_rows(root))
    made = dict(like)
    for name, column in zip(_COLUMNS, zip(*rows, strict=True), strict=True):
        made[name] = list(column)
    made["base_weights"] = made["split_conditions"]
    made["loss_changes"] = [0.0] * len(rows)
    made["split_type"] = [0] * len(rows)
    made["id"] = number
    made["tree_param"] = like["tree_param"] | {"num_nodes": str(len(rows)), "num_deleted": "0"}
    return made


_COLUMNS = (
    "parents", "left_children", "right_children", "split_indices", "split_conditions",
    "default_left", "sum_hessian",
)  # fmt: skip


def _rows(root: _Node) -> Iterator[tuple[int, int, int, int, float, int, float]]:
    """A row per node, breadth first: the columns of `_COLUMNS`."""
    level, next_free = [(ROOT, root)], 1
    number = -1
    while level:
        below = []
        for parent, node in level:
            number += 1
            if node.split is None:
                yield parent, -1, -1, 0, node.value, 0, node.cover
                continue
            feature, condition, default, left, right = node.split
            yield parent, next_free, next_free + 1, feature, condition, default, node.cover
            next_free += 2
            below += [(number, left), (number, right)]
        level = below
