"""What gen_data.py tells with: the engine of its templates, casts, words."""
import random, re

R = random.Random(0)
pick = lambda xs: R.choice(xs)

# ------------------------------------------------------------------ template engine
_inner = re.compile(r"\[([^\[\]]*)\]")

def expand(s, env):
    while True:
        m = _inner.search(s)
        if not m:
            break
        s = s[:m.start()] + R.choice(m.group(1).split("|")) + s[m.end():]
    return s.format(**env)

_an = re.compile(r"\b([Aa]) (?=[aeiouAEIOU])(?!one\b|uni|use|Uni)|\b([Aa]) (?=hones|hour)")

def tidy(s):
    s = re.sub(r" +", " ", s).strip()
    s = _an.sub(lambda m: (m.group(1) or m.group(2)) + "n ", s)
    s = re.sub(r'^(["]?)([a-z])', lambda m: m.group(1) + m.group(2).upper(), s)
    s = re.sub(r'([.!?]"? )(["]?)([a-z])',
               lambda m: m.group(0) if m.group(1)[1] == '"' and not m.group(2) else m.group(1) + m.group(2) + m.group(3).upper(), s)
    return s

# ------------------------------------------------------------------ cast
GIRLS = "Ada Jane Lena Nina Vera Mary Julia Elsa Bella Rosie Lily Mia Anna Clara Rosa Nora Ella Ivy Maya Tess Zoe Lucy Emma Ruby Hana Leila Amara Sofia Greta June Pearl Daisy Alice Molly Kira Noor Esme Freya Olive Sarah".split()
BOYS = "Adam Paul David Simon Emil Martin Alex Louis Carl Danny Tom Ben Max Sam Leo Oscar Finn Hugo Theo Noah Jack Eli Omar Ravi Kofi Milo Felix Arlo Jonas Otto Henry Luca Nico Peter Amir Toby Caleb Tim Ezra Hank".split()
PETS = "Pip Bramble Hazel Rusty Pepper Clover Biscuit Willow Acorn Button Maple Pebble Sprout Dusty Poppy Fern Tansy Thimble Nutmeg Ginger Juniper Basil Fig Tumble Marble Socks Bean Ember Moss Berry".split()
ANIMALS = {  # kind -> home
    "fox": "a warm den under an old oak tree", "rabbit": "a cozy burrow at the edge of a meadow",
    "mouse": "a tiny house under a mushroom", "bear": "a dry cave on the side of a hill",
    "squirrel": "a round nest high in a pine tree", "hedgehog": "a soft pile of leaves behind a garden wall",
    "duck": "a nest of reeds beside a quiet pond", "frog": "a mossy stone next to a slow stream",
    "owl": "a hollow tree in the middle of the forest", "otter": "a little house on the bank of the river",
    "beaver": "a lodge of sticks in the middle of a lake", "badger": "a tidy home under the roots of an elm tree",
    "turtle": "a sunny spot beside the pond", "deer": "a quiet clearing in the forest",
    "kitten": "a blue house at the end of a long road", "puppy": "a farm with a big red barn",
    "lamb": "a green field beside an old stone wall", "goat": "a small farm high in the mountains",
    "sparrow": "a nest under the roof of a school", "mole": "a long tunnel under a vegetable garden",
    "raccoon": "a hollow log near the river", "penguin": "an icy shore where the wind always blew",
    "donkey": "a stable behind the bakery", "pony": "a white stable near the village",
    "cat": "a bakery where it was always warm", "dog": "a red house beside the railway", "dragon": "a cave full of books",
    "elephant": "the tall grass near a wide river", "lion": "a wide land of yellow grass", "monkey": "a house of leaves in the tallest tree of the jungle",
    "pig": "a farm with a muddy yard", "hen": "a wooden house behind the farm", "wolf": "the mountains where the snow never melts",
    "robot": "a workshop full of wheels and wires", "bee": "a golden hive in an old tree",
    "giraffe": "a wide plain with only three trees", "crow": "a nest on top of an old church", "cricket": "a crack in the garden wall",
}
PLACES = ["in a small village by the sea", "at the edge of a green forest", "in a valley between two tall hills",
          "in a little town with narrow streets", "near a wide blue lake", "on a farm far from the city",
          "in a house at the top of a hill", "beside a long winding river", "in a busy town with a big clock",
          "in a quiet village where everyone knew each other", "on a small island with a white lighthouse",
          "in a yellow house next to the park", "near an old bridge made of stone", "in a land of snow and tall pine trees",
          "in a village full of flowers", "in an apartment above the bakery"]
ADJ = "kind curious brave clever quiet cheerful gentle playful shy thoughtful lively patient friendly honest careful busy".split()
ADJ2 = "kind clever cheerful gentle thoughtful patient friendly honest funny helpful polite".split()
SMALL = ["little", "young", "small", "little", "little"]

class Char:
    def __init__(self, name, kind, male, home=None, adj=None):
        self.name, self.kind, self.male, self.home = name, kind, male, home
        self.adj = adj or pick(ADJ)
        self.adj2 = pick([x for x in ADJ2 if x != self.adj])
        self.animal = home is not None
        self.he, self.him, self.his = ("he", "him", "his") if male else ("she", "her", "her")
        self.He, self.His = self.he.capitalize(), self.his.capitalize()
        self.himself = self.him + "self"
        self.parent = pick(["mother", "father"]) if self.animal else pick(["mom", "dad", "mother", "father"])
        self.Parent = self.parent.capitalize()
        self.sib = pick(["brother", "sister"])
    def __format__(self, spec):
        return self.name

def child(used):
    male = R.random() < .5
    n = pick([x for x in (BOYS if male else GIRLS) if x not in used]); used.add(n)
    return Char(n, "boy" if male else "girl", male)

def beast(used, kinds=None):
    n = pick([x for x in PETS if x not in used]); used.add(n)
    k = pick([x for x in (kinds or list(ANIMALS)) if x not in used]); used.add(k)
    return Char(n, k, R.random() < .5, ANIMALS[k])

class Elder:
    """A grown-up helper, referred to by a title."""
    def __init__(self, ref, male):
        self.ref, self.male = ref, male
        self.Ref = ref[0].upper() + ref[1:]
        self.he, self.him, self.his = ("he", "him", "his") if male else ("she", "her", "her")
        self.He, self.His = self.he.capitalize(), self.his.capitalize()
    def __format__(self, spec):
        return self.ref

def elder(h):
    if h.animal:
        return Elder(*pick([("the old owl", True), ("the wise turtle", False), ("the old badger", True),
                            ("Grandmother Goose", False), ("Grandfather Bear", True), ("the gray heron", False),
                            ("the wise old crow", True), ("Mother Deer", False)]))
    return Elder(*pick([("Grandma", False), ("Grandpa", True), ("Mrs. Green", False), ("Mr. Hill", True),
                        ("the baker", True), ("the old gardener", True), ("the librarian", False), ("Aunt Rose", False),
                        ("Uncle Joe", True), ("the lighthouse keeper", True), ("Miss Bell", False)]))

def cast():
    used = set()
    if R.random() < .5:
        h, f = child(used), child(used)
    else:
        h, f = beast(used), beast(used)
    e = elder(h)
    return h, f, e, used

# ------------------------------------------------------------------ shared beats
def intro(env):
    h = env["h"]
    if h.animal:
        s = pick(["[Once upon a time|Once|Long ago], there was a {small} {h.kind} named {h}. {h.He} lived in {h.home}.",
                  "Once upon a time, a {h.adj} {h.kind} named {h} lived in {h.home}.",
                  "[In|There was once] [a {h.adj}|a {small}] {h.kind} named {h}, who lived in {h.home}." .replace("[In|There was once]", "There was once"),
                  "{h} was a {small} {h.kind}. {h.He} lived in {h.home}.",
                  "{h} was a {h.adj} {h.kind} who lived in {h.home}."])
        trait = pick(["{h.He} was [very|always|so] {h.adj2}[, and all the animals liked {h.him}|, and {h.he} had many friends|].",
                      "Everyone in the [forest|meadow|valley] knew {h} because {h.he} was so {h.adj2}.",
                      "Every morning, {h} [washed {h.his} face, ate breakfast, and went outside|ran outside to see what was new|sang a happy song]."])
    else:
        s = pick(["[Once upon a time|Once|Long ago], there was a {small} {h.kind} named {h}. {h.He} lived {place}.",
                  "Once upon a time, a {h.adj} {h.kind} named {h} lived {place}.",
                  "There was once a {h.adj} {h.kind} named {h}, who lived {place}.",
                  "{h} was a {small} {h.kind} who lived {place}.",
                  "{h} and {h.his} [family|{h.parent}|little {h.sib}|grandmother] lived {place}."])
        trait = pick(["{h.He} was [very|always|so] {h.adj2}[, and everyone liked {h.him}|, and {h.he} had many friends|].",
                      "Everyone [in town|on the street|nearby] knew {h} because {h.he} was so {h.adj2}.",
                      "{h.He} was a {h.adj2} {h.kind} who liked to [ask questions|help other people|play outside|read books|draw pictures|look at the clouds]."])
    return s + (" " + trait if R.random() < .5 else "")

WEATHER = ["The grass was still wet with dew.", "A dog barked somewhere far away.", "The [church|town|school] clock struck [ten|three|four].", "A [yellow|white|blue] butterfly flew by.", "The [river|stream|wind] was singing its old song.", "There was not a cloud in the sky.", "The sun was [warm|bright|shining] and the sky was [blue|clear].", "A soft wind moved through the [trees|grass|leaves].",
           "The birds were singing in the trees.", "White clouds floated [slowly|] across the sky.", "It was a [cool|warm|lovely|quiet|sunny] [morning|day].",
           "The air smelled of [flowers|rain|fresh bread|wet leaves|grass].", "Bees buzzed around the flowers.", "The leaves were [red and gold|green and shiny]."]
ONEDAY = ["One day", "One Sunday", "One Monday morning", "One cold morning", "One evening", "One foggy morning", "On a hot summer day", "One rainy afternoon", "One bright morning", "One day", "One morning", "One morning", "One sunny day", "One afternoon", "One spring morning", "One autumn day", "One windy day", "One quiet afternoon", "Early one morning", "One summer day"]
SAID = ["said", "said", "said", "asked", "replied"]
GLAD = ["happy", "glad", "proud", "full of joy", "very happy", "so happy"]
CLOSE = ["That night, {h} dreamed about it.", "{h} and {f} talked about it for a long time.", "In the evening, they sat together and watched the sun go down.", "And if you ever go there, you may still see them together.", "It had been a long day, and {h} slept very well that night.", "\"What a day!\" said {f}, and {h} laughed.", "That night, {h} fell asleep with a smile.", "From that day on, {h} and {f} were the best of friends.",
         "And every time {h} thought about that day, {h.he} smiled.", "That evening, {h} told {h.his} {h.parent} the whole story.",
         "{h} went home [happy and tired|with a warm heart|with a big smile].", "They all lived happily ever after.",
         "The stars came out, and {h} felt [safe and happy|warm and happy|that it had been a good day].",
         "It was the best day {h} could remember.", "After that day, nothing was quite the same, and {h} was glad."]

def close(env, moral):
    m = pick(["{h} learned that {moral}.", "And so {h} learned that {moral}.", "From then on, {h} always remembered that {moral}.",
              "That day, {h} learned something important: {moral}.", '"Now I know," {h} said softly. "{Moral}."'])
    m = m.replace("{moral}", moral).replace("{Moral}", moral[0].upper() + moral[1:])
    r = R.random()
    if r < .45: return m
    if r < .75: return m + " " + pick(CLOSE)
    return pick(CLOSE)

# ------------------------------------------------------------------ things
TOYS = [  # (noun, adjectives, why it is loved, what one does with it, hiding places)
    ("kite", "red blue yellow striped", "[{e} had made it|it could fly higher than the trees]", "fly it over the hill", ["in the branches of a tall tree", "on the roof of the barn", "behind the stone wall"]),
    ("ball", "red blue green bouncy", "[it bounced so high|it was a gift from {e}]", "roll it down the path", ["under a bush", "in the tall grass", "beside the pond"]),
    ("scarf", "red warm woolly long", "[{e} had knitted it|it kept {h.him} warm in the wind]", "wear it every day", ["on a fence", "under a bench", "in the bird's nest"]),
    ("drum", "small shiny wooden little", "[it made a bright, happy sound|{e} had taught {h.him} to play it]", "play it in the morning", ["behind the shed", "under a pile of leaves", "in the back of a cart"]),
    ("boat", "little wooden paper blue", "[{h.he} had built it with {e}|it floated so well]", "sail it on the stream", ["between two rocks in the stream", "in the reeds", "under the old bridge"]),
    ("hat", "green straw funny yellow", "[it had a feather on top|it had belonged to {e}]", "wear it in the sun", ["on top of a scarecrow", "in a puddle", "on the branch of an apple tree"]),
    ("lantern", "small brass golden old", "[its light was soft and warm|{e} had given it to {h.him}]", "carry it on dark nights", ["at the bottom of the stairs", "behind an old log", "beside the well"]),
    ("bell", "silver tiny golden little", "[it sounded like rain|{e} had found it long ago]", "ring it at breakfast", ["in a crack in the wall", "under the kitchen table", "inside an old boot"]),
    ("key", "golden tiny old rusty", "[it opened {h.his} treasure box|{e} had given it to {h.him}]", "keep it in {h.his} pocket", ["in the mud by the gate", "under the mat", "inside an empty flower pot"]),
    ("book", "old blue thick little", "[it was full of stories about the sea|{e} read it to {h.him} every night]", "read it under a tree", ["on the grass under the willow tree", "on the garden bench", "behind a basket of apples"]),
    ("whistle", "wooden silver tiny red", "[it could call the birds|{e} had carved it]", "blow it on the hill", ["in a patch of clover", "between the roots of a tree", "under a cabbage leaf"]),
    ("blanket", "soft blue patched warm", "[it smelled like home|{e} had sewn it]", "sleep with it every night", ["on the clothes line", "behind the sofa", "in the hay"]),
]
def toy(env):
    n, adjs, why, use, spots = pick(TOYS)
    env.update(o=n, oa=pick(adjs.split()), why=expand(why, env), use=expand(use, env), spot=pick(spots))

FOODS = ["onion soup", "cherry pie", "banana bread", "cheese bread", "pear cake", "vegetable soup", "apple pie", "honey cake", "carrot soup", "berry jam", "ginger cookies", "pumpkin bread", "lemon cake", "mushroom soup", "nut bread", "pancakes", "plum tart", "oatmeal cookies"]
CREATURES = [("baby bird", "a thorny bush"), ("little mouse", "an empty jar"), ("butterfly", "a spider's web"), ("small turtle", "the mud"),
             ("bee", "a bowl of water"), ("tiny frog", "a deep bucket"), ("snail", "the middle of the road"), ("lost chick", "a hole in the ground"),
             ("kitten", "the top of a tall tree"), ("ladybug", "a puddle"), ("baby hedgehog", "an old net"), ("young rabbit", "a tangle of wire")]
GAMES = ["a word game", "marbles", "circus", "knights and dragons", "a clapping game", "hide and seek", "tag", "a jumping game", "a singing game", "catch", "a guessing game", "pirates", "explorers", "a counting game", "leapfrog"]
HIDE = ["under the bed", "behind the door", "in the garden", "near the well", "by the river", "in the barn", "under the table", "along the path", "behind the big rock", "in the tall grass"]
FEARS = [("the dark", "the shadows looked like monsters", "[a little lantern|a candle]", "the shadows were only [coats on a hook|trees moving in the wind]"),
         ("thunder", "the noise shook the windows", "[a brave song|a silly rhyme]", "the thunder was only [clouds talking to each other|a loud noise far away]"),
         ("deep water", "{h.he} could not see the bottom", "[a strong rope|a floating log]", "the water could hold {h.him} up"),
         ("high places", "everything looked so small from up there", "[a steady hand|a slow, deep breath]", "the view from the top was beautiful"),
         ("the old bridge", "the boards creaked with every step", "[a steady hand|a slow, deep breath]", "the bridge was strong and safe"),
         ("meeting someone new", "{h.he} never knew what to say", "[a simple hello|a friendly smile]", "most people are a little shy, too"),
         ("the wind at night", "it howled like a wolf", "[a brave song|a warm blanket]", "the wind was only singing around the chimney"),
         ("the big dog next door", "its bark was so loud", "[a gentle voice|a small biscuit]", "the dog only wanted to play")]
SKILLS = [("swim", "swam across the pond", "splashed and sank"), ("ride a bicycle", "rode all the way to the bridge", "wobbled and fell"),
          ("play the flute", "played a whole song", "made only a squeak"), ("skate on the ice", "glided in a big circle", "slipped and fell down"),
          ("paint", "painted the sunset", "made only a brown puddle of paint"), ("whistle", "whistled like a bird", "blew only air"),
          ("juggle", "juggled three apples", "dropped every apple"), ("dance", "danced without one wrong step", "tripped over {h.his} own feet"),
          ("climb", "climbed to the top of the old tree", "slid back down"), ("row a boat", "rowed to the island and back", "went around in circles"),
          ("knit", "knitted a long green scarf", "made a big knot"), ("read", "read a whole book out loud", "mixed up the letters")]
SEEDS = [("sunflower", "taller than the fence", "a bright yellow face"), ("pumpkin", "as big as a chair", "a thick orange skin"), ("apple tree", "as tall as the house", "sweet red apples"),
         ("bean plant", "all the way up the wall", "long green beans"), ("rose bush", "higher than the window", "soft pink roses"), ("strawberry plant", "all over the garden bed", "little red berries"),
         ("pear tree", "as tall as the barn", "golden pears"), ("tomato plant", "up to the window", "round red tomatoes")]
SECRET = [("a small green door", "in the garden wall", "a hidden garden full of [blue flowers|butterflies|old fruit trees]"),
          ("an old map", "inside a dusty book", "a waterfall that [shone like silver|made a rainbow]"),
          ("a narrow path", "behind the waterfall", "a cave full of [sparkling stones|glowing crystals]"),
          ("a set of tiny footprints", "in the fresh snow", "a family of [foxes|rabbits|mice] sharing their supper"),
          ("a rope ladder", "hanging from an oak tree", "a little tree house with [a round window|two small chairs]"),
          ("a blue bottle", "on the sandy beach", "a letter from a [sailor|child] on the other side of the sea"),
          ("a rusty gate", "at the end of the lane", "a quiet pond with [white swans|water lilies]"),
          ("a spiral staircase", "inside the old tower", "a room with a telescope pointed at the stars")]
NOISES = [("tap, tap, tap", "a woodpecker making a new home"), ("rustle, rustle", "a hedgehog looking for supper"), ("hoo, hoo", "a young owl learning to sing"),
          ("drip, drip, drip", "rain falling through a hole in the roof"), ("scratch, scratch", "a mouse building a bed of straw"), ("crunch, crunch", "a pony eating apples"),
          ("thump, thump", "a rabbit practicing its dance"), ("squeak, squeak", "the old gate moving in the wind")]

MORALS = {
    "sharing": ["sharing makes everything better", "a thing is more fun when it is shared", "friends are worth more than toys"],
    "patience": ["good things take time", "patience is worth the wait", "you cannot hurry a good thing"],
    "courage": ["being brave means trying even when you are afraid", "most scary things are smaller up close", "courage grows when you use it"],
    "honesty": ["it is always best to tell the truth", "the truth is easier to carry than a lie", "an honest heart is a light heart"],
    "kindness": ["a small kind act can make a big difference", "kindness always comes back", "no one is too small to help"],
    "practice": ["you get better when you keep trying", "every mistake is a step forward", "practice makes hard things easy"],
    "friendship": ["a new friend can be found anywhere", "a good friend makes every day brighter", "it only takes one hello to make a friend"],
    "curiosity": ["the world is full of small wonders", "it is good to look closely at things", "an open door can lead to something wonderful"],
    "teamwork": ["together we can do what no one can do alone", "many hands make the work light", "everyone has something to give"],
    "listening": ["it is wise to listen to good advice", "the way home is easier to find when you pay attention", "it is good to ask for help"],
    "care": ["we should take good care of the things we love", "lost things are found by those who keep looking", "it is good to look after what you have"],
    "promise": ["a promise is worth keeping", "people trust those who keep their word", "it is never too late to keep a promise"],
    "cleverness": ["a clever idea can be stronger than strong arms", "it is good to think before you act", "a kind word can open any door"],
    "imagination": ["you can travel far without leaving home", "a little imagination makes every day bright", "even a gray day can be full of color"],
    "giving": ["the best gifts come from the heart", "a gift does not need to cost anything", "giving feels even better than getting"],
}
