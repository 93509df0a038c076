"""The app of Django that makes the project's layer the default one, and has the settings checked."""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register

from holdfast.defaults import make_default
from holdfast.django.checks import check_settings
from holdfast.django.layers import project_layer


class HoldfastConfig(AppConfig):
    """Let decorators without ``layer=`` use the layer of `settings.HOLDFAST`, from the start of the process on."""

    name = "holdfast.django"
    label = "holdfast"
    verbose_name = "holdfast"

    def ready(self) -> None:
        """Make the layer; nothing is opened before it is used. ``manage.py check`` looks at the other settings, too."""
        register(check_settings)
        make_default(project_layer())
