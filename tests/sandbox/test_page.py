"""The chat page without script: forms and links alone tell the whole story."""

import time

import httpx2
import pytest
from aiogram.methods import SendVideo
from aiogram.types import BufferedInputFile
from selectolax.lexbor import LexborHTMLParser as HTMLParser

from tests.sandbox.desk import Desk, one
from tests.sandbox.test_files import png


def texts(page: HTMLParser, selector: str) -> list[str]:
    return [" ".join(node.text().split()) for node in page.css(selector)]


def test_outsiders_are_sent_to_the_sign_in(desk: Desk) -> None:
    answer = httpx2.get(f"{desk.origin}/sandbox/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/sandbox/")


def test_an_empty_sandbox_has_somebody_to_be(desk: Desk) -> None:
    page = desk.get()
    assert texts(page, "#contacts b") == ["Ольга Тестова", "Иван Пробный", "Emma Sandbox"]
    assert texts(page, "#compose button") == ["Start the bot"]


def test_the_story_without_script(desk: Desk) -> None:
    desk.post("start", payload="deep")
    desk.olga.wait("Hello")
    page = desk.get()
    assert "<b>you</b> &lt;script&gt;deep" in str(one(page, "#chat").html)
    desk.post("press", message=desk.olga.last.id, at="0:0")
    desk.olga.wait(lambda message: message.invoice)
    invoice = one(desk.get(), "a[data-pay]")
    sheet = one(desk.get(pay=invoice.attributes["data-pay"]), "dialog#pay[open]")
    assert "Light" in sheet.text()
    page = desk.post("pay", message=invoice.attributes["data-pay"], link="", twist="")
    assert "199 Stars paid" in one(page, "#toasts").text()
    desk.olga.wait("Open now")
    page = desk.get()
    assert "You paid 199 Stars for “Light”" in one(page, "#chat").text()
    assert len(page.css(".ly-locked")) == 1
    desk.post("charge_back")
    desk.olga.wait("Closed again")
    assert "199 Stars for “Light” were returned" in one(desk.get(), "#chat").text()


def test_answers_of_buttons_are_shown(desk: Desk) -> None:
    desk.olga.start()
    message = desk.olga.wait("Hello")
    page = desk.post("press", message=message.id, at="1:0")
    assert "Saved" in one(page, "#toasts").text()
    page = desk.post("press", message=message.id, at="9:9")
    assert "This button is no longer there." in one(page, "#toasts").text()


def test_words_files_and_the_reply_keyboard(desk: Desk) -> None:
    desk.olga.start()
    desk.olga.wait("Hello")
    page = desk.post("send", text="2 < 3 & </p>")
    assert "2 &lt; 3 &amp; &lt;/p&gt;" in str(page.html)
    desk.olga.wait("You said")
    assert texts(desk.get(), ".ly-sand-keys button") == ["Menu"]
    token = desk.token
    form = {"csrf_token": token, "student": desk.olga.id, "text": "my work"}
    files = {"file": ("work.png", png(), "image/png")}
    answer = desk.browser.post("/sandbox/act/file", data=form, files=files)
    assert answer.status_code == 303
    source = one(desk.get(), "#chat img").attributes["src"]
    picture = desk.browser.get(str(source))
    assert (picture.content, picture.headers["content-type"]) == (png(), "image/png")


def test_blocking_and_starting_again(desk: Desk) -> None:
    desk.olga.start()
    desk.olga.wait("Hello")
    page = desk.post("block")
    assert texts(page, "#compose button") == ["Restart the bot"]
    assert "bot stopped" in one(page, "#contacts").text()
    page = desk.post("start")
    assert desk.olga.wait("Hello").text.startswith("Hello")
    desk.post("block")
    page = desk.post("unblock")
    assert one(page, "#say") is not None


def test_a_refused_payment_is_told(desk: Desk) -> None:
    desk.clerk.accepts = False
    desk.olga.start()
    desk.olga.wait("Hello")
    desk.olga.press("Buy")
    invoice = desk.olga.wait(lambda message: message.invoice)
    page = desk.post("pay", message=invoice.id, twist="")
    assert "Sold out, <sorry>." in one(page, "#toasts").text()


@pytest.mark.parametrize(("twist", "paid"), [("twice", 398), ("unasked", 199), ("price", 1)])
def test_dishonest_payments(desk: Desk, twist: str, paid: int) -> None:
    desk.olga.start()
    desk.olga.wait("Hello")
    desk.olga.press("Buy")
    invoice = desk.olga.wait(lambda message: message.invoice)
    desk.post("pay", message=invoice.id, twist=twist)
    assert desk.box.balance() == paid


def test_a_stranger_pays(desk: Desk) -> None:
    desk.olga.start()
    desk.olga.wait("Hello")
    desk.olga.press("Buy")
    invoice = desk.olga.wait(lambda message: message.invoice)
    desk.post("pay", message=invoice.id, twist="stranger")
    payers = [line["source"]["user"]["first_name"] for line in desk.box.ledger()]
    assert payers == ["Иван"]


def test_people_are_made_and_renamed(desk: Desk) -> None:
    page = desk.post("create", first_name="Пётр", username="@petr_1", language_code="ru")
    assert one(page, "#contacts [aria-current] b").text() == "Пётр"
    page = desk.post("create", first_name="", username="")
    assert "A first name has 1-64 characters." in one(page, "#toasts").text()
    page = desk.post("change", first_name="Ольга", last_name="Иванова", language_code="en")
    assert "Ольга Иванова" in texts(page, "#contacts b")
    desk.post("stars")
    assert desk.olga.stars == 110_000


def test_failures_are_planned(desk: Desk) -> None:
    desk.olga.start()
    desk.olga.wait("Hello")
    page = desk.post("fault", kind="429", view="log")
    assert "1 call will fail" in one(page, "#faults").text()
    page = desk.post("rate", view="log")
    assert "Rate limit: off" in one(page, "#faults").text()
    desk.post("repeat")
    assert "message" in texts(desk.get(view="log"), "#log code")
    page = desk.post("fault", kind="nonsense")
    assert "Something went wrong." in one(page, "#toasts").text()


def test_clearing_the_chat(desk: Desk) -> None:
    desk.olga.start()
    desk.olga.wait("Hello")
    page = desk.post("clear")
    assert "Nothing here yet" in one(page, "#chat").text()


@pytest.mark.parametrize(
    "query",
    [
        {"student": "x"},
        {"student": 10**30},
        {"bot": "x"},
        {"pay": "x"},
        {"pay": "9999"},
        {"link": "$none"},
        {"start": "<script>"},
        {"view": "nonsense"},
    ],
)
def test_odd_addresses_still_open(desk: Desk, query: dict[str, object]) -> None:
    page = desk.get(**query)
    assert "<script>" not in [button.text() for button in page.css("button")]
    assert one(page, "h1").text() == "Sandbox"


@pytest.mark.parametrize("verb", ["send", "press", "pay", "file", "start", "nothing"])
def test_broken_forms_break_nothing(desk: Desk, verb: str) -> None:
    token = desk.token
    form = {"csrf_token": token, "student": "abc", "message": "-1", "at": "x", "payload": "ё ё"}
    answer = desk.browser.post(f"/sandbox/act/{verb}", data=form)
    assert answer.status_code == (404 if verb == "nothing" else 303)


def test_a_form_of_another_site_is_refused(desk: Desk) -> None:
    form = {"student": desk.olga.id, "text": "x"}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
        answer = desk.browser.post("/sandbox/act/send", data=form, headers=headers)
        assert answer.status_code == 403
    answer = desk.browser.post("/sandbox/act/send", data=form)
    assert answer.status_code == 403  # no token
    assert desk.olga.messages() == []


def test_changes_are_told_at_once(desk: Desk) -> None:
    with desk.browser.stream("GET", "/sandbox/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = (line for line in stream.iter_lines() if line.startswith("data:"))
        before = next(events)
        desk.olga.start()
        assert next(events) != before


def test_whoever_has_signed_out_is_told_nothing_more(desk: Desk) -> None:
    with desk.browser.stream("GET", "/sandbox/events") as stream:
        lines = (line for line in stream.iter_lines() if line.startswith("data:"))
        next(lines)
        with httpx2.Client(cookies=desk.browser.cookies, headers={"Sec-Fetch-Site": "same-origin"}) as other:
            out = other.post(f"{desk.origin}/logout", data={"csrf_token": desk.token})
        assert out.status_code == 303
        desk.olga.start()
        assert list(lines) == []  # it ends


def test_a_page_that_shows_everything_is_told_nothing(desk: Desk) -> None:
    desk.olga.start()
    desk.olga.wait("Hello")
    seen = one(desk.get(), "[data-seen]").attributes["data-seen"] or ""
    with desk.browser.stream("GET", "/sandbox/events", params={"seen": seen}) as stream:
        lines = (line for line in stream.iter_lines() if line)
        assert next(lines) == "retry: 1000"
        time.sleep(0.5)
        desk.olga.send("more")
        told = next(lines), next(lines)
    assert told[0] == "event: change"
    assert told[1].startswith("id: ")
    assert told[1] != f"id: {seen}"
    # The stream breaks; the browser comes again with the page's address and the last event that it has heard.
    again = desk.browser.stream(
        "GET", "/sandbox/events", params={"seen": seen}, headers={"Last-Event-ID": told[1].removeprefix("id: ")}
    )
    with again as stream:
        assert next(stream.iter_lines()) == "retry: 1000"


def test_a_big_video_passes_the_application(desk: Desk) -> None:
    """The application's own limit of a body is smaller than Telegram's."""
    desk.olga.start()
    desk.olga.wait("Hello")
    video = BufferedInputFile(b"\0" * 3_000_000, "lesson.mp4")
    sent = desk.clerk.bot(SendVideo(chat_id=desk.olga.id, video=video, protect_content=True))
    assert sent.video is not None
    shown = one(desk.get(), "#chat video")
    part = desk.browser.get(str(shown.attributes["src"]), headers={"Range": "bytes=0-9"})
    assert (part.status_code, len(part.content)) == (206, 10)
