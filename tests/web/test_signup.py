"""chat/web/signup.py: nobody gets in by it unless the setting says so."""

import pytest
from django.contrib.auth import get_user_model

pytestmark = pytest.mark.django_db

CARLA = {"username": "carla", "password1": "a long quiet river", "password2": "a long quiet river"}
ADDRESS = "/accounts/signup/"


@pytest.fixture
def open_to_all(settings):
    settings.CHAT_SIGNUP = True


@pytest.mark.parametrize("method", ["get", "post"])
def test_sign_up_does_not_exist_by_default(client, method):
    assert getattr(client, method)(ADDRESS, CARLA).status_code == 404
    assert not get_user_model().objects.filter(username="carla").exists()
    assert ADDRESS.encode() not in client.get("/accounts/login/").content


def test_whoever_signs_up_is_signed_in_and_nobody_special(client, open_to_all):
    assert client.get(ADDRESS).status_code == 200
    response = client.post(ADDRESS, CARLA | {"is_staff": "1", "is_superuser": "1"})
    carla = get_user_model().objects.get(username="carla")
    assert (response.status_code, response.url) == (302, "/")
    assert client.session["_auth_user_id"] == str(carla.pk)
    assert not carla.is_staff
    assert not carla.is_superuser


@pytest.mark.parametrize(
    "wrong",
    [
        {"username": "ALICE"},
        {"password2": "another"},
        {"password1": "12345678", "password2": "12345678"},
        {"username": ""},
    ],
)
def test_a_taken_name_and_a_poor_password_are_refused_with_a_reason(client, open_to_all, alice, wrong):
    response = client.post(ADDRESS, CARLA | wrong)
    assert response.status_code == 422
    assert b'role="alert"' in response.content
    assert get_user_model().objects.count() == 1
