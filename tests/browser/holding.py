"""Answers that are kept back, so that a test sees what a slow line shows."""

import time

from playwright.sync_api import Page, Route

PATIENCE = 15.0  # seconds


class Held:
    """Requests of `pattern` wait here from now on; `take()` is the next of them, as soon as the page has asked."""

    def __init__(self, page: Page, pattern: str, *, times: int | None = None) -> None:
        self.page = page
        self.routes: list[Route] = []
        page.route(pattern, lambda route: self.routes.append(route), times=times)  # noqa: PLW0108 - Playwright calls functions only

    def take(self) -> Route:
        deadline = time.monotonic() + PATIENCE
        while not self.routes and time.monotonic() < deadline:
            self.page.wait_for_timeout(20)
        return self.routes.pop(0)
