"""What is promised under load."""

from __future__ import annotations

from typing import Final

from tests.proof.rows.row import Part, Row
from tests.proof.rows.suites import (
    BARS,
    GROWTH,
    MACHINE,
    PEERS,
    REAL,
    WATCH_LOST,
    WRITERS,
)

LOAD: Final = Part(
    "L",
    "Load",
    "Processor time, memory and descriptors, so that a busy machine does not blur the figures.",
    (
        Row(
            "10,000 bundles of 12 files at once",
            "all recorded in 120 s of processor time, 0 missed, 300 MiB at most",
            (BARS + "test_many_bundles_at_once",),
            {"many_bundles": "{bundles}: {cpu_s} s of processor time ({wall_s} s of the clock), {rss_mb} MiB"},
        ),
        Row(
            "200 slow writers: random pauses, preallocated and filled, by temporary names",
            "0 early starts",
            (
                WRITERS + "test_nothing_is_taken_before_it_has_been_written",
                PEERS + "test_two_hundred_writers_at_their_own_pace",
            ),
            {"writers": "{writers} real ones, {early} early; and 200 simulated ones with pauses of up to a minute"},
        ),
        Row(
            "The kernel's queue of events overflows, really",
            "0 missed after one rescan",
            (
                WATCH_LOST + "test_a_real_overflow_is_noticed",
                WATCH_LOST + "test_an_overflow_is_followed_by_a_full_look_and_new_folders_are_watched",
            ),
        ),
        Row(
            "The limit of inotify watches is reached",
            "polls, says so, prints the sysctl, goes back by itself",
            (
                MACHINE + "test_a_limit_of_one_watch",
                WATCH_LOST + "test_the_limit_leads_to_polling_with_the_setting_to_raise_and_back",
                WATCH_LOST + "test_the_limit_reached_later_leads_to_polling_too",
            ),
            {"one_watch": "with the kernel's limit at 1: {mode}; said: “{remedy}”"},
        ),
        Row(
            "A bundle a second",
            "memory, descriptors and threads stay what they are; an hour in `make soak`",
            (
                REAL + "test_a_steady_stream_leaks_nothing",
                GROWTH + "test_bundles_that_are_put_away_leave_nothing_behind",
            ),
            {
                "stream": "{bundles} bundles in {minutes} minutes: {rss_mb} MiB, {rss_grown_mb} MiB more than in the "
                "second third; descriptors {descriptors}, threads {threads}"
            },
        ),
        Row(
            "From start to READY; idle",
            "1.5 s of processor time; a hundredth of a core",
            (BARS + "test_from_start_to_ready", BARS + "test_idle_costs_less_than_a_hundredth_of_a_core"),
            {"ready": "READY after {cpu_s} s of processor time", "idle": "idle: {percent} % of a core"},
        ),
    ),
)
