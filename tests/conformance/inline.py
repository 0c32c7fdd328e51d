"""What `init(mode="inline")` cannot have, and why: points, or single tests of a point."""

from __future__ import annotations

NOTHING_WAITS = "a call has ended when .remote() returns, so nothing is ever pending"

NO_PROCESS = "there is no process of its own that could crash, exit or be interrupted"
NO_AMOUNTS = "one call runs at a time, so resources never run out and nothing is held"

NOT_INLINE = {
    "test_3_2_refs_in_containers_hold_nothing_back": NOTHING_WAITS,
    "3.9": NOTHING_WAITS,
    "test_4_4_get_of_a_list_raises_before_the_others_end": NOTHING_WAITS,
    "4.5": NOTHING_WAITS,
    "test_4_7_wait_splits_what_is_ready_from_what_is_not": NOTHING_WAITS,
    "test_4_8_a_timeout_is_no_error": NOTHING_WAITS,
    "test_4_9_an_actor_that_waits_keeps_its_cpu": NOTHING_WAITS,
    "test_4_12_a_pending_task_holds_its_arguments": NOTHING_WAITS,
    "test_6_2_items_are_there_before_the_end": NOTHING_WAITS,
    "test_6_3_a_crash_in_the_middle": NO_PROCESS,
    "test_6_3_the_death_of_an_actor_in_the_middle": NO_PROCESS,
    "test_6_6_wait_for_a_generator_that_has_nothing_yet": NOTHING_WAITS,
    "test_6_9_a_fixed_number_of_items": NOTHING_WAITS,
    "test_6_10_a_retry_delivers_nothing_twice": NO_PROCESS,
    "6.11": NOTHING_WAITS,
    "6.12": NOTHING_WAITS,
    "test_7_1_crashes_are_retried_exactly_so_often": NO_PROCESS,
    "test_7_1_for_ever_means_until_it_works": NO_PROCESS,
    "test_7_1_crashes_and_exceptions_share_the_counter": NO_PROCESS,
    "7.2": NO_PROCESS,
    "7.4": NO_PROCESS,
    "7.5": NO_PROCESS,
    "7.6": NO_PROCESS,
    "test_8_9_a_keyboard_interrupt_is_a_cancel": "an interrupt is the user's own there",
    "test_8_12_a_crash_of_an_actor_says_how": NO_PROCESS,
    "test_8_12_a_crash_of_a_worker_says_how": NO_PROCESS,
    "9.2": NOTHING_WAITS,
    "9.3": NOTHING_WAITS,
    "9.4": NOTHING_WAITS,
    "9.5": NOTHING_WAITS,
    "9.6": NOTHING_WAITS,
    "test_9_7_a_queued_call_is_removed_and_order_kept": NOTHING_WAITS,
    "test_9_7_a_coroutine_is_cancelled_and_its_neighbours_are_not": NOTHING_WAITS,
    "test_9_7_a_running_call_sees_its_flag": NOTHING_WAITS,
    "9.8": NOTHING_WAITS,
    "9.9": NOTHING_WAITS,
    "test_10_1_a_handle_comes_at_once": NOTHING_WAITS,
    "test_10_2_also_when_an_earlier_one_waits_for_its_arguments": NOTHING_WAITS,
    "10.3": NO_AMOUNTS,
    "test_10_4_an_actor_ends_with_its_last_handle_but_after_its_calls": NO_PROCESS,
    "test_10_8_pending_calls_are_limited": NOTHING_WAITS,
    "10.9": NO_PROCESS,
}
