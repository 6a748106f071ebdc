"""Each attack of a table fails, and leaves the victim as it was."""

import contextlib
from collections.abc import Iterator

import pytest
from integration.access.support import attacks_across_tenants, attacks_with_few_scopes, attacks_without_a_right
from integration.access.support.scene import ATTACKS, LATER, Scene
from rig.keys import client_of, new_key
from rig.system import System
from rig.tenants import CLIENT_SCOPES, TenantClient, new_tenant


@pytest.fixture(scope="module")
def scene(secured: System) -> Iterator[Scene]:
    """Return a victim with something to steal, and an attacker."""
    with contextlib.ExitStack() as stack:
        tenants = {}
        for name in ("victim", "attacker"):
            number = new_tenant(secured.database, name)
            token = new_key(secured.database, CLIENT_SCOPES, number)
            tenants[name] = TenantClient(number, stack.enter_context(client_of(secured, token)))
        victim = tenants["victim"]
        ended = victim.submit(tags=["secret"])
        victim.wait(ended)
        waiting = victim.submit(delay_seconds=3_600, tags=["secret"], unique={"key": "report"})
        victim.client.post("/jobs/", json=LATER, headers={"Idempotency-Key": "order-1"}).raise_for_status()
        action = {"action": "cancel", "filter": {"tag": "secret"}}
        yield Scene(
            system=secured,
            victim=victim,
            attacker=tenants["attacker"],
            ended=ended,
            waiting=waiting,
            bulk_action=victim.client.post("/bulk-actions", json=action).raise_for_status().json()["bulk_action_id"],
            key_id=new_key(secured.database, tenant=victim.tenant).split("_")[1],
            token=token,
        )


MODULES = (attacks_without_a_right, attacks_with_few_scopes, attacks_across_tenants)


def test_the_table_has_sixty_attacks() -> None:
    assert len(ATTACKS) >= 60
    assert {function.__module__ for function in ATTACKS.values()} == {module.__name__ for module in MODULES}


@pytest.mark.parametrize("name", ATTACKS)
def test_the_attack_fails(scene: Scene, name: str) -> None:
    ATTACKS[name](scene)
    states = {
        job: scene.victim.client.get(f"/jobs/{job}/status").json()["status"] for job in (scene.ended, scene.waiting)
    }
    assert states == {scene.ended: "SUCCESS", scene.waiting: "SCHEDULED"}
    assert scene.victim.client.get(f"/bulk-actions/{scene.bulk_action}").json()["phase"] == "PREVIEW"
    assert scene.victim.client.get(f"/jobs/{scene.ended}/result").json()["result"] == 5.0
    rows = scene.system.database.rows("SELECT revoked_at, expires_at FROM api_keys WHERE id = %s", [scene.key_id])
    assert rows == [(None, None)]
