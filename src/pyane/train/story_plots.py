"""Grammar of the story generator: openings, plots and endings.

A plot is a tuple of beats told in order; a beat is a tuple of alternatives, of which one is told.
In a template `{name}` is a slot filled once per story, `[a|b|c]` a choice made on the spot and `/`
alone starts a new paragraph. Slots: hero and friend (`{hero}`, `{friend}`) with their pronouns (`{he}`, `{him}`,
`{his}` and `{fhe}`, `{fhim}`, `{fhis}`; capitalised at the start of a sentence), and the things
chosen in stories.py.
"""

from __future__ import annotations

from typing import Final

Beat = tuple[str, ...]
Plot = tuple[Beat, ...]

OPENINGS: Final[Beat] = (
    "Once upon a time, there was a little {kind} named {hero}.",
    "Once upon a time, there was a {nature} {kind} named {hero}.",
    "There once was a little {kind} named {hero}.",
    "Once there lived a {nature} little {kind} named {hero}.",
)

HABITS: Final[Beat] = (
    "{He} loved to {activity}.",
    "{He} [liked|loved] to {activity} [every day|with {his} friends|near {place}].",
    "{hero} lived in a [small|cozy|little] house near {place} and loved to {activity}.",
    "{He} had a [good|dear] friend named {friend}. They loved to {activity} together.",
)

DAYS: Final[Beat] = (
    "One {weather} day,",
    "One day,",
    "One {weather} morning,",
    "Then one day,",
)

PLOTS: Final[dict[str, Plot]] = {
    "lost": (
        (
            "{hero} could not find {his} {colour} {toy}.",
            "{hero} went to {place} with {his} {colour} {toy}. When {he} came home, the {toy} was gone.",
        ),
        (
            "{He} looked [everywhere|all over the house], but it was not there.",
            "{He} looked {inside} and {inside2}, but the {toy} was not there.",
        ),
        ("{hero} was very sad. {He} began to cry.", "{hero} felt sad and did not know what to do."),
        (
            '/ {friend} saw {him} and asked, "Why are you sad, {hero}?"',
            '/ {friend} came by and asked, "What is wrong, {hero}?"',
        ),
        (
            '"I lost my {toy}," said {hero}. "It is {colour} and I love it."',
            '"I can not find my {colour} {toy}," {hero} said.',
        ),
        (
            '"Do not worry," said {friend}. "I will help you look."',
            '{friend} smiled and said, "Let\'s look for it together."',
        ),
        (
            "/ They looked {inside} and they looked {inside2}. At last, {friend} saw something {colour} {spot}.",
            "/ They walked back to {place}. There, {spot}, was the {toy}!",
        ),
        (
            '"Here it is!" {fhe} [said|called|shouted]. It was the {colour} {toy}!',
            '"Look!" said {friend}. "I found your {toy}!"',
        ),
        (
            '{hero} was so happy. {He} gave {friend} a big hug and said, "Thank you!"',
            "{hero} hugged {his} {toy} and then {he} hugged {friend} too.",
        ),
    ),
    "share": (
        (
            "{hero} and {friend} were playing [at|near] {place}. They found a {colour} {toy} {spot}.",
            "{hero} and {friend} went to {place}. There, {spot}, they saw a {colour} {toy}.",
        ),
        (
            '"It is mine!" said {hero}. "No, it is mine!" said {friend}.',
            'They both wanted to play with it. "I saw it first!" said {hero}. "No, I saw it first!" said {friend}.',
        ),
        (
            "They pulled and pulled. The {toy} [almost broke|fell in the mud].",
            "They began to fight. They were both angry.",
        ),
        (
            "{hero} sat down and was sad. It was no fun to fight with a friend.",
            "{friend} went away and began to cry. {hero} felt bad.",
        ),
        (
            '/ Then {hero} had an idea. "We can share it," {he} said.',
            '/ {hero} went to {friend} and said, "I am sorry. Do you want to share?"',
        ),
        ('"You can play first, and then I will play."', '"We can take turns with the {toy}."'),
        (
            '{friend} smiled. "That is a good idea," {fhe} said.',
            '"Yes!" said {friend}. "I am sorry too."',
        ),
        (
            "/ They played with the {colour} {toy} all day long.",
            "/ They took turns and laughed and had a lot of fun.",
        ),
    ),
    "fear": (
        ("{hero} was afraid of {fear}.", "{hero} had a problem. {He} was very scared of {fear}."),
        (
            "{He} hid {inside} and did not want to come out.",
            "{He} closed {his} eyes and held {his} {toy} tight.",
        ),
        (
            '/ {His} {elder} [came in|sat down next to {him}] and asked, "What is wrong, {hero}?"',
            '/ "Why are you hiding, {hero}?" asked {his} {elder}.',
        ),
        (
            '"I am scared of {fear}," {hero} said in a small voice.',
            '"I do not like {fear}," said {hero}.',
        ),
        (
            '{His} {elder} took {his} hand. "Let\'s go and look together," {ehe} said.',
            '"I will stay with you," said {his} {elder}. "We can look together."',
        ),
        (
            "/ {hero} was still afraid, but {he} was brave. {He} took one step and then another.",
            "/ Step by step, they went to look. {hero} held on to {his} {elder}.",
        ),
        ("And what did {he} see? It was {truth}!", "Then {he} saw that it was {truth}."),
        (
            "{hero} began to laugh. {He} was not scared anymore.",
            '"Oh!" said {hero}. "That is not scary at all!"',
        ),
    ),
    "help": (
        (
            "{hero} was walking [to|near] {place} when {he} heard a soft cry.",
            "{hero} went to {place} to {activity}. There {he} heard a small sound.",
        ),
        (
            "{He} looked {spot} and saw {creature}. It {trouble}.",
            "It was {creature}. It {trouble}.",
        ),
        (
            '"Please help me," it said. "I can not do it alone."',
            '"Oh no!" said {hero}. "You look so sad."',
        ),
        (
            "/ {hero} wanted to help, but {he} was too small. So {he} ran to get {friend}.",
            '/ "Do not be afraid," said {hero}. "I will help you."',
        ),
        ("{He} was very careful. {He} {rescue}.", "Slowly and gently, {he} {rescue}."),
        (
            '"Thank you, {hero}!" it said. "You are very kind."',
            "Now it was safe. It was so happy that it made {hero} laugh.",
        ),
        (
            "/ From that day on, the {creature_name} came to see {hero} every morning.",
            "/ {hero} told {friend} all about it, and they were both glad.",
        ),
    ),
    "skill": (
        (
            "{hero} wanted to learn to {skill}.",
            "{hero} saw {friend} at {place}. {friend} could {skill} very well. {hero} wanted to do it too.",
        ),
        ("{He} tried, but {he} {failure}.", "The first time, {he} {failure}."),
        (
            "{He} tried again, and again {he} {failure}.",
            "It was too hard. {hero} felt [sad|angry|tired].",
        ),
        (
            '"I can not do it," {he} said. "I will never learn."',
            '{He} sat down and said, "I give up."',
        ),
        (
            '/ {friend} sat next to {him}. "It was hard for me too," {fhe} said. "Try again."',
            '/ "Do not give up," said {friend}. "I will show you how."',
        ),
        (
            "So {hero} tried again the next day, and the day after that.",
            "{hero} took a deep breath and tried one more time.",
        ),
        ("/ And then it worked! {He} {success}!", "/ This time, {he} {success}. {He} did it!"),
        (
            '{friend} clapped and said, "You did it, {hero}!"',
            '"Look at me!" {hero} shouted. {His} {elder} was very proud.',
        ),
    ),
    "rain": (
        (
            "{hero} and {friend} wanted to go to {place}. They had {food} in a basket.",
            "{hero} and {friend} went to {place} to {activity}.",
        ),
        (
            "But then big dark clouds came, and it began to rain.",
            "But soon the sky was dark. Drip, drop, it started to rain.",
        ),
        (
            '"Oh no!" said {hero}. "Now we can not play."',
            'They were wet and sad. "Our day is ruined," said {friend}.',
        ),
        ("/ They ran home as fast as they could.", "/ They ran home and sat {inside} to stay dry."),
        (
            '{hero} looked out at the rain and had an idea. "Let\'s make a tent!" {he} said.',
            '{friend} had an idea. "We can play with the {colour} {toy} here," {fhe} said.',
        ),
        (
            "They took a big blanket and two chairs. They ate {food} and told funny stories.",
            "They played and sang songs and did not hear the rain at all.",
        ),
        (
            "/ When the rain stopped, there was a rainbow in the sky.",
            "/ Soon the sun came back, but they did not want to stop playing.",
        ),
    ),
    "truth": (
        (
            "{hero} was playing with {his} {toy} in the house. {He} knew that was not allowed.",
            "{hero} threw {his} {colour} {toy} up in the air. {He} threw it very high.",
        ),
        (
            "Crash! The {toy} hit the {breakable}, and the {breakable} broke.",
            "Oh no! The {toy} fell on the {breakable} and broke it.",
        ),
        (
            "{hero} was scared. {He} hid the [parts|pieces] {inside}.",
            "{He} did not know what to do. {He} ran and hid {inside}.",
        ),
        (
            '/ {His} {elder} came home and asked, "Who broke the {breakable}?"',
            '/ "What happened to the {breakable}?" asked {his} {elder}.',
        ),
        (
            '"It was not me," said {hero}. But {he} felt bad inside.',
            "{hero} looked down and said nothing. {His} face was red.",
        ),
        (
            '/ Later, {hero} began to cry. "It was me," {he} said. "I am sorry."',
            '/ Then {hero} said, "I broke it. I am very sorry."',
        ),
        (
            '{His} {elder} gave {him} a hug. "Thank you for telling me," {ehe} said.',
            '"I am not angry," said {his} {elder}. "I am glad that you told me."',
        ),
        (
            "They picked up the pieces together. {hero} felt much better.",
            "Together they cleaned the floor, and {hero} promised to be careful.",
        ),
    ),
    "cake": (
        (
            "{hero} wanted to make a cake. It was the birthday of {his} friend {friend}.",
            "it was the birthday of {friend}. {hero} wanted to bake a big cake for {fhim}.",
        ),
        (
            "{He} looked in the kitchen, but there was no {missing}.",
            "But when {he} started, {he} saw that {he} had no {missing}.",
        ),
        (
            '"I can not make a cake without {missing}," {he} said. {He} was sad.',
            '"Oh no! What can I do now?" said {hero}.',
        ),
        (
            '/ {hero} asked {his} {elder} for help. "Let\'s go and ask at {place}," said {his} {elder}.',
            '/ {hero} went to {his} {elder} and asked, "Do you have some {missing}?"',
        ),
        (
            '"I have some {missing} for you," {ehe} said with a smile.',
            '{His} {elder} gave {him} the {missing}, and {hero} said, "Thank you!"',
        ),
        (
            "/ Together they made the cake. It was [big and sweet|soft and warm].",
            "/ {hero} mixed and mixed. Soon the house smelled so good.",
        ),
        (
            '{friend} came to the door. "Happy birthday!" shouted {hero}.',
            '{hero} carried the cake to {friend}. "This is for you!" {he} said.',
        ),
        (
            '{friend} ate a big piece and said, "This is the best cake!"',
            "{friend} was so happy that {fhe} began to dance.",
        ),
    ),
    "path": (
        (
            "{hero} went for a walk in the forest with {friend}.",
            "{hero} saw a {colour} butterfly and ran after it into the forest.",
        ),
        (
            "{He} went too far. When {he} looked back, the path was gone.",
            "{He} did not look at the path. Soon {he} was lost.",
        ),
        (
            '"Where am I?" said {hero}. It was getting dark, and {he} was scared.',
            "All the trees looked the same. {hero} began to cry.",
        ),
        (
            '/ A wise old owl sat in a tree. "Why do you cry, little one?" it asked.',
            '/ Then {he} heard a voice. It was an old turtle. "Are you lost?" it asked.',
        ),
        (
            '"I want to go home," said {hero}. "But I do not know the way."',
            '"Yes," said {hero}. "I can not find my house."',
        ),
        (
            '"Follow the [river|stars|little lights]," it said. "I will come with you."',
            '"I know the way," it said. "Come with me."',
        ),
        (
            "/ They walked and walked. At last {hero} saw {his} house and {his} {elder} at the door.",
            "/ Soon {hero} could see {his} house. {His} {elder} was waiting for {him}.",
        ),
        (
            '"I was so worried!" said {his} {elder} and hugged {him}.',
            '{hero} ran to {his} {elder} and said, "I will not go so far again."',
        ),
    ),
    "greedy": (
        (
            "{hero} found a big bowl of {sweets} {spot}.",
            "{hero} got a big bag of {sweets} from {his} {elder}.",
        ),
        (
            '"They are for all of us," said {his} {elder}. "Please wait for {friend}."',
            '"You can share them with {friend}," said {his} {elder}.',
        ),
        (
            "But {hero} did not want to wait. {He} ate one, then two, then three.",
            "But {hero} wanted all the {sweets} for {himself}. {He} ate and ate.",
        ),
        (
            "Soon the {sweets} were all gone.",
            "{He} did not stop until there were no {sweets} left.",
        ),
        (
            '/ Then {his} tummy began to hurt. "Ouch!" said {hero}.',
            "/ That night {hero} could not sleep. {His} tummy hurt so much.",
        ),
        (
            '{friend} came to see {him}. "Are you sick?" {fhe} asked.',
            '{friend} asked, "What is wrong with you?"',
        ),
        (
            '"I ate all the {sweets}," said {hero}. "I am sorry that I did not share."',
            '"I was greedy," said {hero}. "I am sorry."',
        ),
        (
            "/ {friend} made {him} some warm tea, and soon {hero} felt better.",
            "/ The next day {hero} picked new {sweets} and gave them all to {friend}.",
        ),
    ),
    "shy": (
        (
            "a new {fkind} came to {place}. {Fhis} name was {friend}.",
            "{hero} saw a new {fkind} at {place}. {Fhis} name was {friend}.",
        ),
        (
            "{friend} sat alone {spot} and did not talk to anyone.",
            "{friend} was very shy and hid {spot}.",
        ),
        (
            "{hero} wanted to say hello, but {he} did not know how.",
            '"Why does {fhe} not play with us?" {hero} asked {his} {elder}.',
        ),
        (
            '"Maybe {fhe} is shy," said {his} {elder}. "You can bring {fhim} something nice."',
            '{His} {elder} said, "It is hard to be new. Be kind to {fhim}."',
        ),
        (
            '/ So {hero} took {his} {colour} {toy} and went to {friend}. "Hello! Do you want to play?" {he} asked.',
            '/ {hero} went to {friend} and said, "I have some {food}. Do you want some?"',
        ),
        (
            '{friend} looked up and smiled. "Yes, please," {fhe} said.',
            "At first {friend} said nothing. Then {fhe} smiled a little smile.",
        ),
        (
            "/ They played until the sun went down.",
            "/ {friend} told {hero} many stories, and they laughed a lot.",
        ),
    ),
    "grow": (
        ("{hero} found a little {seed} {spot}.", "{his} {elder} gave {hero} a {seed}."),
        (
            "{He} put it in the ground in the garden and gave it water.",
            '"What will it be?" {hero} asked. {He} put it in a pot with some soil.',
        ),
        (
            "{He} waited and waited, but nothing happened.",
            "The next day {he} looked, but there was nothing to see.",
        ),
        (
            '"It does not grow," {hero} said. {He} was sad.',
            '"My {seed} is too slow!" {he} said to {friend}.',
        ),
        (
            '/ "You must wait," said {his} {elder}. "Give it water and sun."',
            '/ {friend} said, "Let\'s sing to it every day."',
        ),
        (
            "So every morning {hero} gave it water, and every night {he} said good night to it.",
            "{hero} did not give up. {He} came back every day.",
        ),
        (
            "/ Then one morning, {he} saw something green. It grew and grew.",
            "/ After many days, a tiny green leaf came out.",
        ),
        (
            "In the end it was {plant}! {hero} showed it to {friend}, and they were both amazed.",
            'It became {plant}. "It is so beautiful!" said {hero}.',
        ),
    ),
}

ENDINGS: Final[Beat] = (
    "{hero} learned that {lesson}.",
    "And {hero} learned that {lesson}.",
    "From then on, {hero} and {friend} were best friends.",
    "That night, {hero} went to bed with a smile.",
    "It was the best day ever.",
    "They all lived happily ever after.",
    "{hero} and {friend} went home. They were tired but happy.",
    "After that day, {hero} always knew that {lesson}.",
)
