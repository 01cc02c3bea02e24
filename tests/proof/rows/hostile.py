"""What is promised of hostile input."""

from __future__ import annotations

from typing import Final

from tests.proof.rows.row import Part, Row
from tests.proof.rows.suites import (
    BUNDLE_LOAD,
    BUNDLE_PNG,
    CONFINED,
    HOSTILE,
    INBOX,
    INSTALL_UNITS,
    LINKS,
    NAMES,
    RULES_12_TO_14_WHOLE,
    ZIP,
)

HARMFUL: Final = Part(
    "H",
    "Hostile input",
    "See [threat-model.md](threat-model.md) for what somebody who can drop bundles can and can't do.",
    (
        Row(
            "Fuzzed: zip reader, PNG gate, job.toml, names",
            "the promised errors alone, in a sentence; nothing outside its folder; no bomb",
            (
                HOSTILE + "test_the_corpus",
                HOSTILE + "test_mutations_of_the_corpus",
                HOSTILE + "test_any_bytes",
                HOSTILE + "test_any_options",
                HOSTILE + "test_what_coverage_leads_to",
            ),
            {
                "fuzz_zip": "zip: {inputs} mutations, {opened} of which open",
                "fuzz_png": "PNG: {inputs}",
                "fuzz_job": "job.toml: {inputs}",
                "fuzz_name": "names: {inputs}",
                "atheris_zip": "guided by coverage, zip: {inputs} in {seconds} s",
                "atheris_png": "PNG: {inputs} in {seconds} s",
                "atheris_job": "job.toml: {inputs} in {seconds} s",
                "atheris_name": "names: {inputs} in {seconds} s",
            },
        ),
        Row(
            "Ways out: links, devices, sockets, paths in zips and job.toml; names that are markup or escapes",
            "0 escapes; one line a log record; no markup in pages",
            (HOSTILE + "test_every_way_out_is_closed",),
            {"hostile_drops": "{dropped} hostile drops at once, {jobs} jobs, {escapes} escapes"},
        ),
        Row(
            "Names with newline, `..`, bytes, 255 bytes, RTL, leading `-`, NFC and NFD twins",
            "0 crashes",
            (
                NAMES + "test_hostile_names_are_bundles_like_any_other",
                NAMES + "test_no_name_stops_the_others",
                NAMES + "test_what_is_shown_is_one_harmless_line",
                NAMES + "test_what_is_made_is_a_name_everywhere",
                RULES_12_TO_14_WHOLE + "test_names_nobody_else_could_hold",
            ),
        ),
        Row(
            "Links out, loops, FIFO, device, socket, hard link",
            "refused by lstat, never opened",
            (
                LINKS + "test_what_is_no_file_is_refused_unopened",
                LINKS + "test_a_device_is_refused_unopened",
                LINKS + "test_loops_of_links_end",
                LINKS + "test_linked_folders_are_refused_and_not_entered",
                LINKS + "test_a_file_exchanged_between_look_and_reading_is_not_believed",
            ),
        ),
        Row(
            "Zip bomb, zip slip, nested, encrypted",
            "refused in 5 s and 256 MiB",
            (
                ZIP + "test_bombs_are_refused_within_5_s_and_256_mib",
                ZIP + "test_paths_that_lead_out_are_refused",
                ZIP + "test_nested_archives_are_refused",
                ZIP + "test_encrypted_zips_are_refused",
            ),
        ),
        Row(
            "PNG bomb, truncated, bad CRC, lying IHDR",
            "refused before a full decode, in 256 MiB",
            (
                ZIP + "test_a_png_that_lies_of_its_size_is_refused_unread",
                INBOX + "test_a_truncated_file_is_waited_for_and_then_refused",
                BUNDLE_LOAD + "test_a_huge_header_is_refused_before_decoding",
                BUNDLE_LOAD + "test_damaged_files_are_all_named",
                BUNDLE_PNG + "test_image_data_that_lies_is_refused",
            ),
        ),
        Row(
            "One bundle that breaks the program itself",
            "its own trouble: the others go on",
            (
                HOSTILE + "test_one_bundle_that_breaks_the_intake_is_its_own_trouble",
                HOSTILE + "test_one_bundle_that_breaks_the_copying_fails_and_the_others_go_on",
            ),
        ),
        Row(
            "The worker's rights",
            "no network, no new privileges, no other process's memory, no core files, limits of file size and memory",
            (
                CONFINED + "test_there_is_no_network_for_any_thread_or_program",
                CONFINED + "test_nobody_else_s_memory_no_mounts_and_no_other_way_to_sockets",
                CONFINED + "test_the_worker_of_a_daemon_is_confined",
                CONFINED + "test_files_have_a_largest_size_and_none_is_dumped",
                CONFINED + "test_kernels_are_compiled_and_tensors_multiplied_all_the_same",
                HOSTILE + "test_the_worker_has_no_more_rights_than_it_needs",
            ),
        ),
        Row(
            "`systemd-analyze security`",
            "2.0 at most",
            (INSTALL_UNITS + "test_the_service_is_hardened",),
        ),
    ),
)
