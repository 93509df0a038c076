"""A shop in Django: a cache, limits, sessions, the last teapot sold once, and orders that are made once.

    python examples/shop_django.py runserver
    gunicorn --chdir examples shop_django:application

It uses the embedded backend. For several processes set HOLDFAST_URL=redis://localhost:6379/0, and a file for the data,
such as SHOP_DATABASE=shop.db. It is one file here, in which settings.py, urls.py and wsgi.py are marked.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import Any, cast

import django
import shop_catalogue as catalogue
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.core.exceptions import BadRequest, PermissionDenied
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from shop_catalogue import Product, SoldOut

from holdfast import BackendError, cache_response, cached
from holdfast.django import project_layer
from holdfast.web import LimitRule
from holdfast.wsgi import CacheMiddleware

# settings.py

settings.configure(
    SECRET_KEY=os.environ.get("SHOP_SECRET", "yours is a secret"),
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    ROOT_URLCONF=__name__,
    WSGI_APPLICATION=f"{__name__}.application",
    INSTALLED_APPS=["holdfast.django"],  # decorators without layer= use the project's layer
    MIDDLEWARE=[
        "holdfast.django.RateLimitMiddleware",
        "holdfast.django.SessionMiddleware",
        "holdfast.django.IdempotencyMiddleware",
        "holdfast.django.RefusalMiddleware",
    ],
    SESSION_ENGINE="holdfast.django.sessions",
    HOLDFAST={  # "url" is HOLDFAST_URL, unless given
        "limits": {
            "quota": "120/minute; name=all",  # by the client's address
            "rules": [LimitRule("5/minute", paths=["/login"], methods=["POST"], name="login")],
        },
        "idempotency": {"required": ["/orders"]},
    },
)
django.setup()
layer = project_layer()


# The catalogue: one product from the cache, and the page of all from the HTTP cache.


@cached("5m", key="product:{name}", tags=["product:{name}"])
def load_product(name: str) -> Product | None:
    return catalogue.find_product(name)


def forget(*names: str) -> None:
    """Drop what is stored of some products, after the database has changed."""
    with suppress(BackendError):  # what is done is done: without Redis the old ones last for five minutes at most
        layer.cache.invalidate_tags("catalogue", *(f"product:{name}" for name in names))


@require_GET
@cache_response(0, shared="5m", tags=["catalogue"])  # browsers ask each time, and are answered from Redis
def show_catalogue(request: HttpRequest) -> JsonResponse:
    return JsonResponse([vars(product) for product in catalogue.list_products()], safe=False)


@require_GET
def show_product(request: HttpRequest, name: str) -> JsonResponse:
    return JsonResponse(vars(product_or_404(name)))


@require_http_methods(["PUT"])
def set_price(request: HttpRequest, name: str) -> JsonResponse:  # yours is for admins
    price = int(sent(request, "price"))
    if not catalogue.set_price(name, price):
        raise Http404
    forget(name)
    return JsonResponse({"price": price})


# The cart: in the session.


@require_GET
def show_cart(request: HttpRequest) -> JsonResponse:
    return JsonResponse(request.session.get("cart", {}))


@require_POST
def add_to_cart(request: HttpRequest, name: str) -> JsonResponse:
    product_or_404(name)
    # It is called again with what another request has stored meanwhile, so that no piece is lost.
    return JsonResponse(request.session.change("cart", lambda cart: catalogue.with_one(cart, name), {}))


# Orders: one at a time for each product, and one for each Idempotency-Key.


@require_POST
def order(request: HttpRequest) -> JsonResponse:
    session = request.session
    cart: dict[str, int] = session.get("cart", {})
    if not cart:
        raise BadRequest("The cart is empty.")
    with layer.multi_lock([f"stock:{name}" for name in cart], wait="10s"):
        try:
            made = catalogue.place_order(session.get(SESSION_KEY), cart)
        except SoldOut as error:
            return JsonResponse({"detail": str(error)}, status=409)
    forget(*cart)
    session.change("cart", lambda now: catalogue.without(now, cart))
    return JsonResponse(vars(made), status=201)


# Who it is, and on which devices.


@require_POST
def log_in(request: HttpRequest) -> JsonResponse:
    user = sent(request, "user")
    if not catalogue.check_password(user, sent(request, "password")):
        raise PermissionDenied
    session = request.session
    if session.get(SESSION_KEY, user) != user:
        session.flush()
    session.cycle_key()  # a new cookie; the cart stays. django.contrib.auth.login does all this for users of Django.
    session[SESSION_KEY] = user
    return JsonResponse({"user": user})


@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    request.session.flush()
    return HttpResponse(status=204)


@require_http_methods(["GET", "DELETE"])
def devices(request: HttpRequest) -> HttpResponse:
    session = request.session
    user: str | None = session.get(SESSION_KEY)
    if user is None:
        return JsonResponse({"detail": "Log in first."}, status=401)
    if request.method == "DELETE":
        return JsonResponse({"ended": layer.sessions.revoke_all(user)})
    here = session.session_key.partition(".")[0]
    found = [{"seen": each.seen, "this": each.handle == here} for each in layer.sessions.list(user)]
    return JsonResponse(found, safe=False)


def product_or_404(name: str) -> Product:
    product = load_product(name)
    if product is None:
        raise Http404
    return product


def sent(request: HttpRequest, name: str) -> str:
    """Return a field of the JSON object that was sent."""
    return str(cast("dict[str, Any]", json.loads(request.body))[name])


# urls.py

urlpatterns = [
    path("", show_catalogue),
    path("products/<name>", show_product),
    path("products/<name>/price", set_price),
    path("cart", show_cart),
    path("cart/<name>", add_to_cart),
    path("orders", order),
    path("login", log_in),
    path("logout", log_out),
    path("devices", devices),
]

# wsgi.py

application = CacheMiddleware(get_wsgi_application(), layer=layer)

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
