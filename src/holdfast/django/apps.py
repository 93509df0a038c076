"""The app of Django that makes the project's layer the default one."""

# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from django.apps import AppConfig

from holdfast.defaults import make_default
from holdfast.django.layers import project_layer


class HoldfastConfig(AppConfig):
    """Let decorators without ``layer=`` use the layer of `settings.HOLDFAST`, from the start of the process on."""

    name = "holdfast.django"
    label = "holdfast"
    verbose_name = "holdfast"

    def ready(self) -> None:
        """Make the layer; nothing is opened before it is used."""
        make_default(project_layer())
