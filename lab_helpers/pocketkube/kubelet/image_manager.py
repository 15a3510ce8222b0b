"""Gets the image of a container: what pull policies mean, what is said about it, and waiting after a failure.

Every image of the catalogue is on the machine already; pulling one looks it up. Which images there are is left to
`image_catalogue.py`.
Models pkg/kubelet/images/image_manager.go (v1.36).
"""

from __future__ import annotations

from ..clock import Clock
from ..objects import Obj, uid_of
from .backoff import FIRST_SECONDS, Backoff
from .container_events import ContainerEvents
from .image_catalogue import ImageCatalogue
from .images import Image, ImageReference, InvalidImageName, parse_reference


class ImageError(Exception):
    """A container has no image. `reason` is what its status shows, `retry_after` when to look again."""

    def __init__(self, reason: str, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class ImageManager:
    """The images of one node."""

    back_off_shown_after = 3.0
    """Seconds from ErrImagePull to ImagePullBackOff."""

    def __init__(self, clock: Clock, catalogue: ImageCatalogue | None = None) -> None:
        self.catalogue = catalogue or ImageCatalogue()
        self._clock = clock
        self._backoff = Backoff(clock)
        self._failures: dict[str, tuple[float, str]] = {}

    def ensure(self, pod: Obj, container: Obj, events: ContainerEvents) -> Image:
        """The image of a container. Raises ImageError."""
        name = container["image"]
        try:
            reference = parse_reference(name)
        except InvalidImageName as error:
            message = (
                f'Failed to apply default image tag "{name}": couldn\'t parse image name "{name}": '
                "invalid reference format"
            )
            events.warning("InspectFailed", message)
            events.warning("Failed", "Error: InvalidImageName")
            raise ImageError("InvalidImageName", message, FIRST_SECONDS) from error
        image = self.catalogue.find(reference)
        policy = container.get("imagePullPolicy") or ("Always" if reference.tag == "latest" else "IfNotPresent")
        if policy == "Never" and image is None:
            message = f'Container image "{name}" is not present with pull policy of Never'
            events.warning("ErrImageNeverPull", message)
            events.warning("Failed", "Error: ErrImageNeverPull")
            raise ImageError("ErrImageNeverPull", message, FIRST_SECONDS)
        if policy != "Always" and image is not None:
            events.normal(
                "Pulled", f'Container image "{name}" already present on machine and can be accessed by the pod'
            )
            return image
        return self._pull(f"{uid_of(pod)}_{name}", name, reference, image, events)

    def try_again(self) -> None:
        """Images have been added: what was not found may be there now."""
        for key in self._failures:
            self._backoff.forget(key)
        self._failures.clear()

    def forget(self, pod: Obj) -> None:
        """The Pod is gone."""
        for key in [key for key in self._failures if key.startswith(uid_of(pod))]:
            del self._failures[key]
            self._backoff.forget(key)

    def _pull(
        self, key: str, name: str, reference: ImageReference, image: Image | None, events: ContainerEvents
    ) -> Image:
        failed_at, why = self._failures.get(key, (0.0, ""))
        remaining = self._backoff.remaining(key, failed_at)
        if remaining > 0:
            events.normal("BackOff", f'Back-off pulling image "{name}"')
            events.warning("Failed", "Error: ImagePullBackOff")
            raise ImageError("ImagePullBackOff", f'Back-off pulling image "{name}": ErrImagePull: {why}', remaining)
        started = self._clock.monotonic()
        events.normal("Pulling", f'Pulling image "{name}"')
        if image is None:
            why = self._not_found(reference)
            self._failures[key] = (self._clock.now(), why)
            self._backoff.next(key)
            events.warning("Failed", f'Failed to pull image "{name}": {why}')
            events.warning("Failed", "Error: ErrImagePull")
            raise ImageError("ErrImagePull", why, self.back_off_shown_after)
        self._failures.pop(key, None)
        took = f"{max(1, round((self._clock.monotonic() - started) * 1000))}ms"
        events.normal(
            "Pulled",
            f'Successfully pulled image "{name}" in {took} ({took} including waiting). Image size: {image.size} bytes.',
        )
        return image

    def _not_found(self, reference: ImageReference) -> str:
        remarks = [f"its images are: {', '.join(self.catalogue.names())}", *self.catalogue.problems()]
        return (
            f'rpc error: code = NotFound desc = failed to pull and unpack image "{reference}": failed to resolve '
            f'reference "{reference}": {reference}: not found '
            f"(the embedded cluster has no registry; {'; '.join(remarks)})"
        )
