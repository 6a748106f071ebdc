"""Signatures: calls of tasks that are not submitted yet, alone or as a chain, a group or a chord."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self

from jobproc.celery.attempts import First
from jobproc.celery.errors import NotMapped
from jobproc.celery.plans import Plan, submission, submit_one
from jobproc.celery.results import AsyncResult, GroupResult


class Step(ABC):
    """A signature of any kind: it can be submitted, and joined with others by `|`."""

    @abstractmethod
    def applied(self, args: Iterable[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> "Step":
        """Return it with further arguments, before its own ones, and further options."""

    @abstractmethod
    def add_to(self, plan: Plan, first: First | None, after: list[str]) -> tuple[First, list[str]]:
        """Add its jobs to a plan. `first`: the results that it takes; `after`: the jobs for which it waits.

        Returns the jobs whose results are its result, and those that end last.
        """

    def apply_async(
        self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult | GroupResult:
        """Submit it: a job, a batch or a workflow. Raises NotMapped, whose message names the task and the option."""
        plan = Plan()
        result, _ = self.applied(args or (), kwargs or {}, options).add_to(plan, None, [])
        return plan.submit(result)

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult | GroupResult:
        """Submit it with further arguments."""
        return self.apply_async(args, kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Submit it."""
        return self.apply_async(args, kwargs)

    def __or__(self, other: "Step") -> "chain":
        """Return the chain of both."""
        return chain(self, other)


class Signature(Step):
    """A call of one task."""

    def __init__(
        self,
        name: str,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
        task: Callable[..., Any] | None = None,
    ) -> None:
        """`name`: of the task, whose code this process need not have. `immutable`: it takes no further arguments."""
        self.name, self.args, self.kwargs = name, args, dict(kwargs or {})
        self.options, self.immutable, self.task = dict(options or {}), immutable, task

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task here, as Celery does."""
        if self.task is None:
            raise NotMapped(f"the code of the task {self.name} is not here; submit it with delay")
        call = self.clone(args, kwargs)
        return self.task(*call.args, **call.kwargs)

    def apply_async(
        self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult:
        """Submit a job."""
        call = self.applied(args or (), kwargs or {}, options)
        return submit_one(submission(call.name, call.args, call.kwargs, call.options))

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """Submit a job with further arguments."""
        return self.apply_async(args, kwargs)

    def applied(self, args: Iterable[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> "Signature":
        """Return it with further arguments, before its own ones, and further options."""
        more = {name: value for name, value in options.items() if value is not None}
        if self.immutable:
            args, kwargs = (), {}
        return Signature(
            self.name,
            (*args, *self.args),
            {**self.kwargs, **kwargs},
            {**self.options, **more},
            immutable=self.immutable,
            task=self.task,
        )

    def add_to(self, plan: Plan, first: First | None, after: list[str]) -> tuple[First, list[str]]:
        """Add its job."""
        body = submission(self.name, self.args, self.kwargs, self.options)
        name = plan.add(self.name, body, None if self.immutable else first, after)
        return name, [name]

    def clone(self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any) -> "Signature":
        """Return a copy with further arguments and options."""
        return self.applied(args, kwargs or {}, options)

    def set(self, immutable: bool | None = None, **options: Any) -> Self:
        """Set options, such as `priority` or `queue`, and return the signature."""
        self.options |= options
        self.immutable = self.immutable if immutable is None else immutable
        return self

    def __repr__(self) -> str:
        """Return the call."""
        parts = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.kwargs.items())]
        return f"{self.name}({', '.join(parts)})"


class chain(Step):  # noqa: N801 - as Celery calls it
    """Steps that run one after the other: each gets the result of the one before it as its first argument."""

    def __init__(self, *steps: "Step | Iterable[Step]") -> None:
        """`steps`: signatures, or one iterable of them."""
        self.steps: tuple[Step, ...] = ()
        for step in _steps(steps):
            self.steps += step.steps if isinstance(step, chain) else (step,)

    def applied(self, args: Iterable[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> "chain":
        """Return it with arguments and options for its first step."""
        if not self.steps:
            return self
        return chain(self.steps[0].applied(args, kwargs, options), *self.steps[1:])

    def add_to(self, plan: Plan, first: First | None, after: list[str]) -> tuple[First, list[str]]:
        """Add its steps, each after the one before it."""
        for step in self.steps:
            first, after = step.add_to(plan, first, after)
        if first is None:
            raise NotMapped("a chain needs a step")
        return first, after

    def __repr__(self) -> str:
        """Return the steps."""
        return " | ".join(map(repr, self.steps))


class group(Step):  # noqa: N801 - as Celery calls it
    """Steps that run at the same time; its result is the list of theirs."""

    def __init__(self, *steps: "Step | Iterable[Step]") -> None:
        """`steps`: signatures, or one iterable of them."""
        self.steps = _steps(steps)

    def applied(self, args: Iterable[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> "group":
        """Return it with arguments and options for each step."""
        args = tuple(args)
        return group(step.applied(args, kwargs, options) for step in self.steps)

    def add_to(self, plan: Plan, first: First | None, after: list[str]) -> tuple[First, list[str]]:
        """Add its steps, each after the same jobs."""
        added = [step.add_to(plan, first, after) for step in self.steps]
        last = [name for _, names in added for name in names]
        return [result for result, _ in added], last or after

    def __iter__(self) -> Iterator[Step]:
        """Return the steps."""
        return iter(self.steps)

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.steps)

    def __repr__(self) -> str:
        """Return the steps."""
        return f"group({', '.join(map(repr, self.steps))})"


class chord(Step):  # noqa: N801 - as Celery calls it
    """A group, and a body that gets the list of its results: `chord(header)(body)` submits it."""

    def __init__(self, header: "group | Iterable[Step]", body: Step | None = None) -> None:
        self.header = header if isinstance(header, group) else group(header)
        self.body = body

    def applied(self, args: Iterable[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> "chord":
        """Return it with arguments for the header. Raises NotMapped for options."""
        if any(value is not None for value in options.values()):
            raise NotMapped("options of a chord: give them to its tasks with set()")
        return chord(self.header.applied(args, kwargs, {}), self.body)

    def add_to(self, plan: Plan, first: First | None, after: list[str]) -> tuple[First, list[str]]:
        """Add the header, and the body after it."""
        if self.body is None:
            raise NotMapped("a chord needs a body: chord(header)(body)")
        return self.body.add_to(plan, *self.header.add_to(plan, first, after))

    def __call__(self, body: Step | None = None, **kwargs: Any) -> Any:
        """Submit it with a body."""
        return chord(self.header, body or self.body).apply_async((), kwargs)

    def __repr__(self) -> str:
        """Return the header and the body."""
        return f"chord({self.header!r}, {self.body!r})"


def signature(
    name: str,
    args: Iterable[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    immutable: bool = False,
    **options: Any,
) -> Signature:
    """Return a call of a task by its name, for callers that do not have its code."""
    return Signature(name, tuple(args or ()), kwargs, options, immutable=immutable)


def _steps(steps: "tuple[Step | Iterable[Step], ...]") -> tuple[Step, ...]:
    if len(steps) == 1 and not isinstance(steps[0], Step | str):
        steps = tuple(steps[0])
    for step in steps:
        if not isinstance(step, Step):
            raise NotMapped(f"a signature of jobproc.celery is expected, such as task.s(), not {step!r}")
    return steps  # type: ignore[return-value]  # each was looked at
