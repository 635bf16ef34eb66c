"""Guessing a language: right or silent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.context.language import differ, guess

TEXTS = {
    "en": "The parcel is late and I would like to know when it will be here, because we are out of town from Friday.",
    "de": "Das Paket ist noch nicht da, und ich möchte wissen, wann es kommt, weil wir am Freitag nicht zu Hause sind.",
    "fr": "Le colis est en retard et je voudrais savoir quand il sera ici, car nous ne sommes pas là pour les fêtes.",
    "es": "El paquete no ha llegado y me gustaría saber cuándo estará aquí, porque los viernes no estoy en la ciudad.",
    "it": "Il pacco è tardi e vorrei sapere quando arriva, perché non sono in città e ho una festa alla fine del mese.",
    "pt": "O pacote não chegou e eu queria saber quando vai estar aqui, porque não estou em casa com os meus pais.",
    "nl": "Het pakket is er nog niet en ik wil graag weten wanneer het komt, want wij zijn op vrijdag niet thuis.",
    "zh": "包裹还没有到，我想知道什么时候能到，因为我们星期五不在家。",
    "ja": "荷物がまだ届いていないので、いつ届くのか知りたいです。金曜日は家にいません。",
    "ko": "소포가 아직 도착하지 않았는데 언제 도착하는지 알고 싶습니다.",
    "cyrillic": "Посылка ещё не пришла, и я хотел бы знать, когда она будет здесь.",
    "greek": "Το δέμα δεν έχει φτάσει και θα ήθελα να μάθω πότε θα έρθει.",
    "arabic": "لم يصل الطرد بعد وأود أن أعرف متى سيصل.",
}


@pytest.mark.parametrize(("language", "text"), TEXTS.items(), ids=TEXTS.keys())
def test_a_sentence_or_two_are_recognised(language, text):
    assert guess(text) == language
    assert guess(f"{text} A-7731 https://example.com € 5.00") == language


@pytest.mark.parametrize(
    "text", ["", "A-7731", "Hello", "1 2 3", "{} = [];", TEXTS["en"] + TEXTS["de"], "pump boiler cellar label parcel"]
)
def test_short_and_mixed_texts_are_unknown(text):
    assert guess(text) == ""


def test_unknown_differs_from_nothing():
    assert differ(TEXTS["en"], TEXTS["de"])
    assert differ(TEXTS["zh"], TEXTS["ja"])
    assert not differ(TEXTS["en"], "A-7731")
    assert not differ(TEXTS["en"], TEXTS["en"].upper())


def test_a_long_text_is_judged_by_its_beginning_and_end():
    assert guess(TEXTS["en"] * 200 + "1" * 900_000 + TEXTS["en"] * 200) == "en"


@given(st.text())
def test_any_text_gets_an_answer(text):
    assert isinstance(guess(text), str)
