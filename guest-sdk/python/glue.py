import wit_world

import lab
import train as guest


class WitWorld(wit_world.WitWorld):
    def train(self):
        guest.train(lab.Lab())

    def forward(self, tokens):
        return guest.model(lab.Tensor(tokens)).handle
