"""What an export would make, by the engine's own renderer, without a run.

Nothing is reserved, numbered, stored or written down, so there is nothing to undo and nothing to
repeat safely: whoever asks again gets an answer of that moment.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from exporters.run_context import RunContext
from functions.delivery_check import delivery_problems
from functions.errors import SetUpRefused
from functions.meanwhile import meanwhile
from functions.preview_budget import PreviewBudget
from functions.preview_rendering import PreviewRendering, renderer_of
from functions.preview_request import Candidate, PreviewScope, saved_parts
from functions.preview_source import (
    Beginning,
    FrozenPage,
    MembersPage,
    PreviewSource,
    RunThatWouldBegin,
)
from functions.run_comparison import ComparedRendering, RunComparison
from functions.run_context import context_of
from functions.run_difference import RunDifference, difference
from functions.settings import Settings

# The run does not exist, and a column that shows its id must be rendered all the same.
_NO_RUN = UUID(int=0)


@dataclass(frozen=True)
class Preview:
    """What would come of an export now. `is_cut`: there are more claims than were looked at."""

    beginning: Beginning
    rendering: PreviewRendering
    is_candidate: bool
    is_cut: bool
    difference: RunDifference | None
    comparisons: tuple[RunComparison, ...]


class ExportPreview:
    """Previews for one caller; make one per request."""

    def __init__(self, source: PreviewSource, settings: Settings) -> None:
        self._source = source
        self._most_claims = settings.export_preview_claims
        self._seconds = settings.export_preview_seconds

    async def preview(
        self,
        scope: PreviewScope,
        candidate: Candidate,
        *,
        run_ids: Sequence[UUID] = (),
        latest_runs: int = 0,
    ) -> Preview:
        """Compares the named runs and the latest ones, too, with what the candidate makes of them.

        Raises:
            SetUpRefused: the configuration, or the candidate, makes no file, or cannot be
                delivered.
            Refused: the caller may not, or the scope is refused, as an export's would be.
        """
        candidate.check()
        beginning = await self._source.begin(scope, candidate)
        deadline = asyncio.get_running_loop().time() + self._seconds
        configuration = candidate.applied_to(beginning.configuration)
        rendering = await asyncio.to_thread(
            PreviewRendering, configuration, _context(beginning.run)
        )
        if problems := delivery_problems(configuration):
            raise SetUpRefused(problems)
        is_cut = await self._render(beginning, candidate, rendering, self._budget(deadline))
        named = [*run_ids, *(one.run.run_id for one in beginning.latest_runs[:latest_runs])]
        comparisons = await self._comparisons(beginning, candidate, named, deadline)
        return Preview(
            beginning=beginning,
            rendering=rendering,
            is_candidate=bool(candidate),
            is_cut=is_cut,
            difference=difference(
                rendering.summary(),
                rendering.breakdown(),
                [(one.run, one.breakdown) for one in beginning.latest_runs],
                is_cut=is_cut,
            ),
            comparisons=comparisons,
        )

    async def _comparisons(
        self, beginning: Beginning, candidate: Candidate, run_ids: Sequence[UUID], deadline: float
    ) -> tuple[RunComparison, ...]:
        tried = candidate or saved_parts(beginning.configuration)
        comparisons = [
            await self._compare(beginning.run, run_id, tried, self._budget(deadline))
            for run_id in dict.fromkeys(run_ids)
        ]
        return tuple(comparisons)

    async def _render(
        self,
        beginning: Beginning,
        candidate: Candidate,
        rendering: PreviewRendering,
        budget: PreviewBudget,
    ) -> bool:
        """Whether there was more than the budget allows."""
        page: MembersPage | None = beginning
        while page is not None and not budget.is_spent:
            async with meanwhile(self._page_after(page, beginning.run, candidate)) as following:
                for members in budget.portions(page.claims):
                    await asyncio.to_thread(rendering.write, members)
            page = following.result()
        await asyncio.to_thread(rendering.finish)
        return budget.is_spent

    async def _page_after(
        self, page: MembersPage, run: RunThatWouldBegin, candidate: Candidate
    ) -> MembersPage | None:
        if page.next is None:
            return None
        return await self._source.page_at(run, candidate, page.next)

    async def _compare(
        self, scope: RunThatWouldBegin, run_id: UUID, tried: Candidate, budget: PreviewBudget
    ) -> RunComparison:
        page = await self._source.frozen_page(scope, run_id, 0)
        try:
            rendering = await asyncio.to_thread(_compared_rendering, page, tried)
        except SetUpRefused as refused:
            return RunComparison(page.run, problems=refused.problems)
        following: FrozenPage | None = page
        while following is not None and not budget.is_spent:
            page = following
            async with meanwhile(self._frozen_after(page, scope)) as fetched:
                for members in budget.portions(page.claims):
                    await asyncio.to_thread(rendering.write, members)
            following = fetched.result()
        return await asyncio.to_thread(rendering.finish, is_cut=budget.is_spent)

    async def _frozen_after(self, page: FrozenPage, scope: RunThatWouldBegin) -> FrozenPage | None:
        if page.last_page:
            return None
        position = page.claims[-1].position
        return await self._source.frozen_page(scope, page.run.run_id, position)

    def _budget(self, deadline: float) -> PreviewBudget:
        return PreviewBudget(self._most_claims, deadline, asyncio.get_running_loop().time)


def _context(run: RunThatWouldBegin) -> RunContext:
    return RunContext(_NO_RUN, run.run_number, run.organization_id, run.export_date)


def _compared_rendering(page: FrozenPage, tried: Candidate) -> ComparedRendering:
    """Both with what was frozen into the run, so that nothing but the candidate differs."""
    context = context_of(page.run)
    before, _ = renderer_of(page.frozen(), context)
    after, _ = renderer_of(tried.applied_to(page.frozen()), context)
    return ComparedRendering(page.run, before, after)
