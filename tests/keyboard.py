"""Presses keys in Gymnasium's player, which shows nothing here."""

import os
from contextlib import contextmanager
from itertools import chain, repeat

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import pygame

CLOSE = pygame.event.Event(pygame.QUIT)


def down(key):
    return pygame.event.Event(pygame.KEYDOWN, key=code(key))


def up(key):
    return pygame.event.Event(pygame.KEYUP, key=code(key))


def tap(key):
    return [down(key), up(key)]


def code(key):
    return getattr(pygame, f"K_{key if len(key) == 1 else key.upper()}")


@contextmanager
def typed(monkeypatch, script, seen=None):
    """Post events after each picture; the last ones close the window, so that one more is shown.

    Args:
        script: For each picture, the events that come after it; an event may also be called.
        seen: Called after each picture, before its events.
    """
    coming = chain([*script[:-1], [*script[-1], CLOSE]], repeat([], 20))
    flip = pygame.display.flip

    def after_picture():
        flip()
        if seen is not None:
            seen()
        events = next(coming, None)
        assert events is not None, "the window stays open"
        for event in events:
            event() if callable(event) else pygame.event.post(event)

    with monkeypatch.context() as patch:
        patch.setattr(pygame.display, "flip", after_picture)
        yield
