"""The session's page in a real browser: the chart under the strict content policy, by mouse, key and screen reader."""

from datetime import timedelta

import pytest
from playwright.sync_api import expect

from tests.monitoring.conftest import POLL_MS, START

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# The colour of the middle of a dataset's bar, as painted.
PAINTED = """
([dataset, index]) => {
  const chart = Chart.getChart("canvas");
  const bar = chart.getDatasetMeta(dataset).data[index];
  const scale = chart.currentDevicePixelRatio;
  return [...chart.ctx.getImageData(bar.x * scale, (bar.y + bar.base) / 2 * scale, 1, 1).data];
}
"""


def test_the_chart_is_painted_and_reads_turn_by_turn(visit, tell, happen):
    for number in range(1, 13):
        tell(number, input=1_000 * number)
    happen(6)
    page = visit()
    canvas = page.locator("#canvas")
    expect(canvas).to_be_visible()
    page.wait_for_function("() => Chart.getChart('canvas')")
    assert page.evaluate(PAINTED, [1, 11])[3] == 255
    canvas.focus()
    page.keyboard.press("End")
    expect(page.locator("#tip")).to_contain_text("Turn 12")
    expect(page.locator("#spoken")).to_contain_text("input, from the API 21.0 k")
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#spoken")).to_contain_text("compaction 60.0 k → 2.0 k")
    page.keyboard.press("Escape")
    expect(page.locator("#tip")).to_be_hidden()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + page.evaluate("Chart.getChart('canvas').scales.x.getPixelForValue(3)"), box["y"] + 200)
    expect(page.locator("#tip")).to_contain_text("Turn 3")


def test_a_new_call_appears_without_a_reload_or_a_jump(visit, tell):
    tell(1)
    page = visit(by_hand=True)
    page.get_by_text("Table", exact=True).click()
    page.locator("#canvas").focus()
    # What the click itself moved is not meant, and is none after half a second.
    page.clock.run_for(600)
    page.wait_for_timeout(600)
    page.evaluate("window.shifts = []")
    tell(2, at=START + timedelta(minutes=8))
    page.clock.run_for(POLL_MS)
    expect(page.locator(".stats dd").first).to_have_text("2 replies", timeout=15_000)
    expect(page.locator("#chart-details tbody tr")).to_have_count(2)
    expect(page.locator("#chart-details table")).to_be_visible()
    expect(page.locator("#canvas")).to_be_focused()
    assert page.evaluate("Chart.getChart('canvas').data.datasets[0].data.length") == 2
    # The tables below grow by the new line; nothing that was there may leap.
    assert sum(page.evaluate("window.shifts")) < 0.1


def test_a_page_that_gets_no_answer_says_that_it_is_not_live(visit, tell):
    tell(1)
    page = visit(cut_off=True, by_hand=True)
    page.route("**/*stamp=*", lambda route: route.abort())
    page.clock.run_for(POLL_MS)
    expect(page.locator("#live")).to_have_text("Not live: no answer from the server", timeout=15_000)
    page.unroute("**/*stamp=*")
    page.clock.run_for(POLL_MS)
    expect(page.locator("#live")).to_have_text("Live", timeout=15_000)


def test_the_chart_is_redrawn_for_a_phone_with_text_of_the_same_size(visit, tell):
    for number in range(1, 40):
        tell(number)
    page = visit()
    page.wait_for_function("() => Chart.getChart('canvas')")
    wide = page.evaluate("Chart.getChart('canvas').width")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("(wide) => Chart.getChart('canvas').width < wide / 2", arg=wide)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("document.getElementById('canvas').dataset.font").startswith("12px ")
    assert page.evaluate("Chart.getChart('canvas').options.scales.x.ticks.font.size") == 12
    expect(page.locator(".key.parts")).to_be_visible()


def test_the_chart_follows_the_colour_scheme(visit, tell):
    tell(1, input=90_000)
    page = visit(color_scheme="light")
    page.wait_for_function("() => Chart.getChart('canvas')")
    light = page.evaluate(PAINTED, [1, 0])
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"(before) => ({PAINTED})([1, 0]).join() !== before.join()", arg=light)


def test_before_the_first_call_the_place_of_the_chart_says_so(visit):
    page = visit()
    expect(page.locator("#nothing")).to_have_text("No calls yet. The chart begins with the first reply.")
    expect(page.locator("#canvas")).to_be_hidden()
