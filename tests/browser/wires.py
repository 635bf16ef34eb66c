"""The websockets of a page, as a test holds them in its hands."""

import re

from tests.browser.conftest import arrives, ready


class Wires:
    """The page's websockets, as a test holds them: frames can be looked at, held back, made up; the wire can be cut."""

    def __init__(self, page):
        self.sent, self.came = [], []
        self.deaf = False  # what the page says is lost
        self.mute = lambda frame: False  # which frames of the server are lost
        self.hangs_up = 0  # on so many messages
        self.up = True
        self._routes = []
        page.route_web_socket(re.compile("/ws/c/"), self._route)

    def _route(self, route):
        if not self.up:
            route.close(code=1011)
            return
        server = route.connect_to_server()
        self._routes.append(route)
        route.on_message(lambda text: self._out(route, server, text))
        server.on_message(lambda text: self._in(route, text))

    def _out(self, route, server, text):
        self.sent.append(text)
        if self.hangs_up and '"type":"send"' in text:
            self.hangs_up -= 1
            route.close(code=4429)
        elif not self.deaf:
            server.send(text)

    def _in(self, route, text):
        self.came.append(text)
        if not self.mute(text):
            route.send(text)

    def say(self, text):
        """A frame that the server never sent."""
        self._routes[-1].send(text)

    def close(self, code):
        self._routes[-1].close(code=code)

    @property
    def client_id(self):
        """The id of the message that the page sent last: a ping or an acknowledgement may have followed it."""
        return [re.search(r'"client_id":"([^"]+)"', text)[1] for text in self.sent if '"type":"send"' in text][-1]


def wired(visit, path="/", **options):
    """A new conversation behind wires."""
    page = visit.new_chat(**options)
    wires = Wires(page)
    page.reload()
    ready(page)
    # Until then what the page says goes by post, past the wires.
    arrives(page, lambda: any('"type":"welcome"' in text for text in wires.came))
    return page, wires
