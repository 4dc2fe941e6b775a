"""Word lists of the story generator. Written for this project."""
# ruff: noqa: SIM905  (lists of words read best as lines of words)

from __future__ import annotations

from typing import Final

# Few and short names: a small model can learn to hold on to one through a story.
GIRLS: Final = "Lily Mia Anna Sue Ella Nora Ruby".split()

BOYS: Final = "Tom Ben Max Sam Leo Tim Jack".split()

SHE_ANIMALS: Final = "Daisy Coco Honey Pearl".split()

HE_ANIMALS: Final = "Pip Rusty Bobo Fuzzy".split()

ANIMALS: Final = "rabbit bear fox mouse frog duck squirrel cat dog turtle bird pig lamb".split()

NATURES: Final = "kind happy brave curious funny clever gentle shy".split()

ACTIVITIES: Final = (
    "play outside",
    "sing songs",
    "read books",
    "run and jump",
    "look at the stars",
    "pick flowers",
    "climb trees",
    "draw pictures",
    "play in the mud",
    "dance in the sun",
    "tell stories",
    "splash in the water",
)

PLACES: Final = (
    "the park",
    "the forest",
    "the garden",
    "the river",
    "the beach",
    "the farm",
    "the hill",
    "the lake",
    "the meadow",
    "the old bridge",
)

OUTSIDE_SPOTS: Final = (
    "in the tall grass",
    "under a big tree",
    "behind a rock",
    "next to the gate",
    "under a bench",
    "behind the fence",
)

INSIDE_SPOTS: Final = (
    "under the bed",
    "behind the door",
    "in the box",
    "under the table",
    "behind the chair",
    "in the closet",
)

WEATHERS: Final = ("sunny", "warm", "bright", "windy", "quiet", "cold", "nice")

COLOURS: Final = "red blue green yellow pink white brown".split()

TOYS: Final = "ball kite boat doll car drum hat book train bell puzzle scarf".split()

FOODS: Final = "apples cookies carrots sandwiches berries pancakes nuts plums".split()

SWEETS: Final = ("berries", "cookies", "apples", "plums", "candies", "pancakes", "cherries")

# (what the child learns, what goes wrong the first time, what it looks like in the end)
SKILLS: Final = (
    ("ride a bike", "fell off the bike", "rode all the way down the road"),
    ("swim", "swallowed a lot of water", "swam from one side to the other"),
    ("fly a kite", "got the kite stuck in a tree", "made the kite fly high in the sky"),
    ("whistle", "made no sound at all", "whistled a happy song"),
    ("skate", "slipped on the ice", "skated in a big circle"),
    ("bake bread", "burned the bread", "made a soft and warm bread"),
    ("jump rope", "tripped over the rope", "jumped ten times in a row"),
    ("climb the big rock", "slid back down", "stood on top of the big rock"),
)

# (what is frightening, what it turns out to be)
FEARS: Final = (
    ("the dark", "a soft shadow of a tree"),
    ("the thunder", "only the clouds talking"),
    ("the big dog", "a dog who wanted to play"),
    ("the noise in the attic", "a tiny mouse with a nut"),
    ("the deep water", "just cool water and little fish"),
    ("the shape by the window", "an old coat on a chair"),
)

# (article, creature in need, its trouble, how it is helped)
TROUBLES: Final = (
    ("a", "baby bird", "had fallen from its nest", "put it back in the nest"),
    ("a", "small kitten", "was stuck in a tree", "climbed up and carried it down"),
    ("a", "little puppy", "had a thorn in its paw", "pulled the thorn out"),
    ("a", "tiny bee", "had fallen into the pond", "lifted it out with a leaf"),
    ("a", "young goat", "was caught in the fence", "opened the fence and set it free"),
    ("a", "butterfly", "was tangled in a web", "gently took the web away"),
    ("a", "lost duckling", "could not find its mother", "walked with it back to its mother"),
)

BREAKABLES: Final = ("vase", "cup", "window", "lamp", "plate", "clock", "mirror")

GROWERS: Final = (
    ("seed", "a tall sunflower"),
    ("bean", "a long green plant"),
    ("bulb", "a pretty tulip"),
    ("nut", "a strong little tree"),
    ("pumpkin seed", "a round orange pumpkin"),
)

ELDERS: Final = (("mom", "she"), ("dad", "he"), ("grandma", "she"), ("grandpa", "he"))

MISSING: Final = ("milk", "flour", "honey", "butter", "sugar")

LESSONS: Final = {
    "lost": "take good care of the things you love",
    "share": "sharing makes every game better",
    "fear": "things are not so scary when you look at them",
    "help": "a little help can make a big friend",
    "skill": "you can do hard things if you keep trying",
    "rain": "a rainy day can be a good day too",
    "truth": "it is always best to tell the truth",
    "cake": "good friends make every day sweet",
    "path": "it is safe to stay close together",
    "greedy": "too much of a good thing is not good",
    "shy": "a new friend is only one hello away",
    "grow": "good things need time",
}
