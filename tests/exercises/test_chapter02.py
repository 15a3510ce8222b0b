"""Chapter 2's checks on states of a cluster: what passes, what does not, and what the hints say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fake_cluster import REFUSED, Story, fake_workspace

from lab_helpers.exercises.chapter02 import CHAPTER, check_deployment, check_replacement, check_service, observe
from lab_helpers.exercises.exercise import Finding


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    with fake_workspace(tmp_path) as workspace:
        yield Story(workspace)


def passed(findings: Sequence[Finding]) -> bool:
    return all(finding.passed for finding in findings)


def first_wrong(findings: Sequence[Finding]) -> Finding:
    return next(finding for finding in findings if not finding.passed)


def test_a_ready_deployment_passes_with_all_points(story: Story) -> None:
    story.deploy()
    story.add_pod(3)
    findings = check_deployment(story.workspace)
    assert passed(findings)
    assert sum(finding.points for finding in findings) == CHAPTER.exercise("2.1").points


def test_nothing_done_is_told_at_once(story: Story) -> None:
    (finding,) = check_deployment(story.workspace)
    assert not finding.passed and not finding.waiting
    assert "there is no Deployment here" in finding.observed


def test_another_name_is_named(story: Story) -> None:
    story.deploy()["metadata"]["name"] = "deployhttp"
    (finding,) = check_deployment(story.workspace)
    assert "deployhttp" in finding.observed


def test_a_pod_on_its_way_is_worth_waiting_for(story: Story) -> None:
    story.deploy()
    story.add_pod(3, ready=False)
    assert first_wrong(check_deployment(story.workspace)).waiting


def test_a_pod_that_can_not_start_is_not_waited_for(story: Story) -> None:
    story.deploy(image="htppd")
    story.add_pod(3, ready=False, waiting="ImagePullBackOff")
    finding = first_wrong(check_deployment(story.workspace))
    assert not finding.waiting
    assert "ImagePullBackOff" in finding.observed


def test_scaled_to_zero_does_not_pass(story: Story) -> None:
    story.deploy(replicas=0)
    finding = first_wrong(check_deployment(story.workspace))
    assert "scaled to zero" in finding.meaning and not finding.waiting


def test_another_image_does_not_pass(story: Story) -> None:
    story.deploy(image="nginx:1.27")
    story.add_pod(3)
    assert "nginx:1.27" in first_wrong(check_deployment(story.workspace)).observed


@pytest.mark.parametrize("image", ["httpd", "httpd:2.4", "docker.io/library/httpd:latest", "httpd@sha256:0"])
def test_any_spelling_of_httpd_passes(story: Story, image: str) -> None:
    story.deploy(image=image)
    story.add_pod(3)
    assert passed(check_deployment(story.workspace))


def test_a_pod_that_is_silent_does_not_pass(story: Story) -> None:
    story.deploy()
    story.add_pod(3)
    story.cluster.answers["http://10.244.0.3:80/"] = REFUSED
    assert "refused" in first_wrong(check_deployment(story.workspace)).observed


def served(story: Story) -> None:
    story.deploy()
    story.first = story.add_pod(3)  # type: ignore[attr-defined]
    story.expose()
    assert passed(check_service(story.workspace))


def test_a_service_that_answers_passes_with_all_points(story: Story) -> None:
    served(story)
    findings = check_service(story.workspace)
    assert sum(finding.points for finding in findings) == CHAPTER.exercise("2.2").points


def test_a_misspelt_selector_is_shown_letter_by_letter(story: Story) -> None:
    story.deploy()
    story.add_pod(3)
    story.expose(selector={"name": "deploymnt"})
    finding = first_wrong(check_service(story.workspace))
    assert "label name=deployment, the selector asks for name=deploymnt" in finding.hints[-1]
    assert not finding.waiting


def test_a_headless_service_has_no_address(story: Story) -> None:
    story.deploy()
    story.add_pod(3)
    story.expose(clusterIP="None")
    assert "no address to ask" in first_wrong(check_service(story.workspace)).meaning


def test_a_wrong_target_port_gets_no_answer(story: Story) -> None:
    story.deploy()
    story.add_pod(3)
    story.expose(target=8080)
    finding = first_wrong(check_service(story.workspace))
    assert "3 of 3 requests failed: refused" in finding.observed
    assert "80 to 8080" in finding.hints[-1]


def test_rules_that_stay_behind_do_not_pass(story: Story) -> None:
    served(story)
    story.cluster.rules = "*nat\n:KUBE-SERVICES - [0:0]\nCOMMIT\n"
    finding = first_wrong(check_service(story.workspace))
    assert finding.waiting and "no chain leads to nothing" in finding.observed


def test_pods_of_somebody_else_do_not_pass(story: Story) -> None:
    story.deploy()
    story.add_pod(3)
    stranger = story.add_pod(9)
    stranger["metadata"].update(labels={"who": "me"}, ownerReferences=[])
    story.expose(selector={"who": "me"})
    assert "10.244.0.9 is no Pod of deployhttpd" in first_wrong(check_service(story.workspace)).hints[-1]


def test_a_replaced_pod_behind_the_same_service_passes(story: Story) -> None:
    served(story)
    story.lose_pod(story.first)  # type: ignore[attr-defined]
    story.add_pod(4)
    findings = check_replacement(story.workspace)
    assert passed(findings)
    assert sum(finding.points for finding in findings) == CHAPTER.exercise("2.3").points
    assert "10.244.0.3" in findings[1].observed and "10.244.0.4" in findings[1].observed


def test_replacement_does_not_pass_when_nothing_was_done(story: Story) -> None:
    served(story)
    assert "still there" in first_wrong(check_replacement(story.workspace)).observed


def test_replacement_needs_something_to_compare_with(story: Story) -> None:
    story.deploy()
    story.expose()
    assert "has not seen" in first_wrong(check_replacement(story.workspace)).observed


def test_a_service_made_again_does_not_pass_even_at_the_same_address(story: Story) -> None:
    served(story)
    story.lose_pod(story.first)  # type: ignore[attr-defined]
    story.add_pod(4)
    story.expose(uid="s2")
    assert "another Service" in first_wrong(check_replacement(story.workspace)).observed


def test_after_a_new_service_was_checked_the_story_begins_anew(story: Story) -> None:
    served(story)
    story.expose(uid="s2", ip="10.96.7.7")
    assert passed(check_service(story.workspace))
    assert not passed(check_replacement(story.workspace))
    story.lose_pod(story.first)  # type: ignore[attr-defined]
    story.add_pod(4)
    assert passed(check_replacement(story.workspace))


def test_a_second_pod_beside_the_first_does_not_pass(story: Story) -> None:
    served(story)
    story.add_pod(4)
    observe(story.workspace)
    assert not passed(check_replacement(story.workspace))


def test_scaling_up_and_down_again_does_not_pass(story: Story) -> None:
    served(story)
    story.add_pod(4)
    observe(story.workspace)
    story.lose_pod(story.first)  # type: ignore[attr-defined]
    assert not passed(check_replacement(story.workspace))


def test_the_same_address_again_does_not_pass(story: Story) -> None:
    served(story)
    story.lose_pod(story.first)  # type: ignore[attr-defined]
    story.add_pod(3)["metadata"]["uid"] = "other"
    assert not passed(check_replacement(story.workspace))


def test_a_replacement_on_its_way_is_worth_waiting_for(story: Story) -> None:
    served(story)
    story.lose_pod(story.first)  # type: ignore[attr-defined]
    story.add_pod(4, ready=False)
    assert first_wrong(check_replacement(story.workspace)).waiting


def test_no_pod_left_is_not_waited_for(story: Story) -> None:
    served(story)
    story.lose_pod(story.first)  # type: ignore[attr-defined]
    story.objects["deployments"][0]["spec"]["replicas"] = 0
    finding = first_wrong(check_replacement(story.workspace))
    assert not finding.waiting and "asks for no Pod" in finding.meaning


def test_every_failure_has_three_hints_and_none_names_a_command(story: Story) -> None:
    found = [*check_deployment(story.workspace), *check_service(story.workspace)]
    story.deploy(image="nginx")
    found += check_deployment(story.workspace)
    story.expose(selector={"name": "x"})
    found += check_service(story.workspace)
    found += check_replacement(story.workspace)
    for finding in (finding for finding in found if not finding.passed):
        assert len(finding.hints) == 3
        assert "kubectl" not in " ".join(finding.hints)


def test_every_exercise_has_a_solution_and_wrong_answers() -> None:
    for exercise in CHAPTER.exercises:
        assert exercise.solution
        assert "nothing was done" in exercise.wrong and len(exercise.wrong) >= 5
