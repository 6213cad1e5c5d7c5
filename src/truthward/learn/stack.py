"""Many related trainings at little more than the cost of one: E members of the same architecture in one stacked pass.

For small batches most of the cost of a step is the overhead of its calls. A stack pays this once (`torch.func.vmap`). A
stack of one member is called as a plain module. The result of a member does not depend on the other members of its
stack (a test checks this).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from truthward.learn.nets import seeded

Member = TypeVar("Member", bound=nn.Module)


class Call(nn.Module):
    """Makes one method of a module its `forward`, which `functional_call` needs."""

    def __init__(self, module: nn.Module, method: str) -> None:
        super().__init__()
        self.module, self.method = module, method

    def forward(self, *args: Tensor) -> Tensor:
        return getattr(self.module, self.method)(*args)


class Stack(nn.Module, Generic[Member]):
    """E members of one architecture; every parameter has a leading member axis.

    Args:
        factory: builds one member.
        seeds: one initialisation seed for each member, length E. Equal seeds give equal initial weights.
    """

    template: Member

    def __init__(self, factory: Callable[[], Member], seeds: list[int]) -> None:
        super().__init__()
        members = [seeded(seed, factory) for seed in seeds]
        self.members = len(members)
        # Not registered: the template only gives the structure, and the stacked tensors are the state.
        object.__setattr__(self, "template", members[0].to("meta"))
        self.names = [name for name, _ in members[0].named_parameters()]
        self.buffer_names = [name for name, _ in members[0].named_buffers()]
        self._slots = [self._slot(name) for name in [*self.names, *self.buffer_names]]
        self._own = [holder[name] for holder, name, _ in self._slots]
        states = [seeded(seed, factory).state_dict() for seed in seeds]
        for name in self.names:
            self.register_parameter(self._key(name), nn.Parameter(torch.stack([s[name] for s in states])))
        for name in self.buffer_names:
            self.register_buffer(self._key(name), torch.stack([s[name] for s in states]))

    @staticmethod
    def _key(name: str) -> str:
        return name.replace(".", "|")

    def _slot(self, name: str) -> tuple[dict[str, Tensor | None], str, str]:
        """Where the template keeps a tensor: the dictionary and the name in it; and the name of the stacked tensor."""
        path, _, leaf = name.rpartition(".")
        module = self.template.get_submodule(path)
        holder: dict[str, Any] = module._parameters if leaf in module._parameters else module._buffers
        return holder, leaf, self._key(name)

    def state_of(self, member: int) -> dict[str, Tensor]:
        """State of one member, as the `load_state_dict` of its module needs it."""
        return {n: getattr(self, self._key(n))[member].detach().clone() for n in [*self.names, *self.buffer_names]}

    def load_member(self, member: int, state: dict[str, Tensor]) -> None:
        """Give one member the state of a module of the same architecture, such as the nominal network."""
        with torch.no_grad():
            for name in [*self.names, *self.buffer_names]:
                getattr(self, self._key(name))[member].copy_(state[name])

    def start_from(self, other: Stack[Member]) -> None:
        """Copy the states of another stack: member by member, or its only member to all members."""
        for m in range(self.members):
            self.load_member(m, other.state_of(m if other.members > 1 else 0))

    def call(self, method: str, *args: Tensor, own: tuple[bool, ...] | None = None) -> Tensor:
        """Call `method` of every member -> (E, ...). Arguments are shared by all or, if `own`, have a leading axis E.

        Random numbers inside are the same for all members, so that bootstraps differ only by their weights.
        """
        own = own or (False,) * len(args)
        if self.members == 1:
            with self._lent(0):
                return getattr(self.template, method)(*(a[0] if o else a for a, o in zip(args, own, strict=True)))[None]
        wrapped = Call(self.template, method)
        state = {f"module.{n}": getattr(self, self._key(n)) for n in [*self.names, *self.buffer_names]}

        def one(state: dict[str, Tensor], *args: Tensor) -> Tensor:
            return torch.func.functional_call(wrapped, state, args)

        in_dims = (0, *(0 if o else None for o in own))
        return torch.func.vmap(one, in_dims=in_dims, randomness="same")(state, *args)

    def each(self, method: str, *args: Tensor) -> Tensor:
        """Like `call` with shared arguments, without gradients, one member after the other.

        This is faster from some 500 rows on: the rows of one member keep the processor busy, while vmap splits the
        product of each layer from its sum. It also works for methods that do not run under vmap. The numbers are those
        of `call`.
        """
        return torch.stack([self.one(member, method, *args) for member in range(self.members)])

    def one(self, member: int, method: str, *args: Tensor) -> Tensor:
        """Call `method` of one member, without gradients."""
        with torch.no_grad(), self._lent(member):
            return getattr(self.template, method)(*args)

    def train(self, mode: bool = True) -> Stack[Member]:
        """See `nn.Module.train`; the template is not a child."""
        self.template.train(mode)
        return super().train(mode)

    @contextmanager
    def _lent(self, member: int) -> Iterator[None]:
        """The template with the tensors of one member.

        For a single member `functional_call` costs as much as a small network.
        """
        for holder, name, key in self._slots:
            stacked = getattr(self, key)
            # `squeeze`, because the gradient of a selection would be a copy.
            holder[name] = stacked.squeeze(0) if self.members == 1 else stacked[member]
        try:
            yield
        finally:
            for (holder, name, _), own in zip(self._slots, self._own, strict=True):
                holder[name] = own
