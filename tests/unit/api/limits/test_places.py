"""Places: a limit for all clients, and a share of it for one address."""

from api.limits.places import Limit, Places


def test_an_address_gets_its_share_and_others_the_rest() -> None:
    places = Places(8, 25)
    assert [places.take("a") for _ in range(3)] == [None, None, Limit.ADDRESS]
    assert [places.take(address) for address in "bbccdd"] == [None] * 6
    assert places.take("e") is Limit.PROCESS
    places.free("a")
    assert [places.take("e"), places.take("e")] == [None, Limit.PROCESS]


def test_a_client_without_an_address_is_limited_by_the_process_only() -> None:
    places = Places(3, 10)
    assert [places.take(None) for _ in range(4)] == [None, None, None, Limit.PROCESS]
    places.free(None)
    assert [places.take("a"), places.take("a")] == [None, Limit.PROCESS]


def test_every_address_may_take_one_place() -> None:
    assert [Places(3, 10).take("a"), Places(1, 100).take("a")] == [None, None]


def test_freed_places_leave_nothing_in_memory() -> None:
    places = Places(10, 100)
    for number in range(10):
        places.take(str(number))
    for number in range(10):
        places.free(str(number))
    assert (places.taken, places._by_address) == (0, {})
