"""The plots of gen_data.py: what happens, as templates."""
from words import *

# ------------------------------------------------------------------ plots
# Each returns (theme, keywords, paragraphs, [(question, answer)])
def p_lost(v):
    toy(v)
    v.update(a1=pick(HIDE)); v.update(a2=pick([x for x in HIDE if x != v["a1"]]))
    return "care", ["a lost {o}", "a {oa} {o}"], [
        [intro(v), "[{h} had|More than anything, {h} loved] a {oa} {o}[.|, because {why}.]" .replace("{h} had a", "{h} had a"), pick(["{h} liked to {use}.", "{h.He} loved to {use}.", "It was {h.his} favorite thing in the whole world."])],
        ["{day}, the {o} was gone. " + pick(["{h} looked {a1}, but it was not there. {h.He} looked {a2}, but it was not there either.",
                                         "{h} searched {a1} and {a2}, but {h.he} could not find it anywhere.",
                                         "{h} looked {a1}. No {o}. {h.He} looked {a2}. Still no {o}."]),
         pick(["{h} felt so sad that {h.he} began to cry.", "A tear rolled down {h.his} cheek.", "{h} sat down and sighed.", "{h} did not know what to do."])],
        [pick(["{f} saw {h} and came over. \"What is wrong?\" {f} asked.", "Just then, {f} came by. \"Why are you so sad?\" asked {f}.", "\"What are you looking for?\" asked {f}, who was walking by."]),
         pick(["\"I lost my {o},\" said {h}. \"I have looked everywhere.\"", "\"My {oa} {o} is gone,\" {h} said. \"I can't find it.\"", "\"I can't find my {o},\" said {h} in a small voice."]),
         pick(["\"Don't worry,\" said {f}. \"We will look together.\"", "\"Let me help you,\" said {f}. \"Two pairs of eyes are better than one.\"", "\"When did you see it last?\" asked {f}. {h} thought hard. \"[Yesterday|This morning],\" {h.he} said."]),
         ],
        [pick(["They walked [slowly|side by side] and looked at every little thing.", "They went back the way {h} had come.", "They asked {e}, who told them to look carefully."]),
         pick(["At last, {f} saw something {oa} {spot}. It was the {o}!", "Then {h} stopped. There, {spot}, was the {o}!", "And there it was, {spot}. \"Here it is!\" shouted {f}.",  "\"Look!\" cried {f}. The {o} was {spot}."]),
         pick(["{h} hugged {f}. \"Thank you!\" {h.he} said.", "{h} was {glad}. \"Thank you for helping me,\" {h.he} said to {f}.", "{h} jumped up and down with joy."]), "@close"],
    ], [("What did {h} lose?", "{h} lost a {oa} {o}."), ("Where was the {o}?", "The {o} was {spot}."), ("Who helped {h}?", "{f} helped {h} look for the {o}.")]

def p_return(v):
    toy(v)
    return "honesty", ["a {o} that belonged to someone else", "telling the truth"], [
        [intro(v), "{day}, {h} was [walking along the path|playing outside|picking flowers] when {h.he} saw something on the ground. It was a {oa} {o}."],
        [pick(["\"How pretty!\" said {h}. {h.He} picked it up and looked around. Nobody was there.", "{h} had never seen such a nice {o}. {h.He} wanted to keep it.", "\"I wish it were mine,\" {h} thought, and {h.he} took it home."]),
         pick(["But {h} knew that someone must be missing it.", "But that night, {h} could not sleep. {h.He} kept thinking about the {o}.", "But the {o} felt heavy in {h.his} hands, because it did not belong to {h.him}."])],
        [pick(["The next day, {h} heard someone crying. It was {f}. \"I lost my {o},\" {f} said.", "In the morning, {h} met {f}, who looked very sad. \"Have you seen my {o}?\" {f} asked.", "{h} asked everyone about the {o}. At last {h.he} came to {f}. \"That is my {o}!\" {f} cried."]),
         pick(["{h} took a deep breath. \"I found it,\" {h.he} said. \"Here it is.\"", "{h} held out the {o}. \"I found it on the ground,\" {h.he} said. \"I am glad I found you.\"", "\"I think this is yours,\" said {h}, and {h.he} gave the {o} back."])],
        [pick(["{f} smiled a big smile. \"Thank you for being honest,\" {f.he} said.", "\"Oh, thank you!\" said {f}. \"You are so kind.\"", "{f}'s eyes were shining. \"You could have kept it,\" {f.he} said, \"but you did not.\""]),
         pick(["After that, they liked to {use} together.".replace("{h.his}", "a"), "{f} shared {f.his} lunch with {h}, and they played all afternoon.", "They sat down under a tree and told each other stories."]) if "{" not in v["use"] else "They played all afternoon.", "@close"],
    ], [("What did {h} find?", "{h} found a {oa} {o}."), ("Who did the {o} belong to?", "The {o} belonged to {f}."), ("Did {h} keep the {o}?", "No, {h} gave it back to {f}.")]

def p_bake(v):
    v["food"] = pick(FOODS)
    v["it"] = "them" if v["food"] in ("ginger cookies", "pancakes", "oatmeal cookies") else "it"
    v["isare"] = "were" if v["it"] == "them" else "was"
    v["bad"] = pick(["used salt instead of sugar", "forgot the flour", "left {h.it_} in the oven too long".replace("{h.it_}", v["it"]), "dropped the bowl on the floor"])
    return "practice", ["cooking", "{food}"], [
        [intro(v), "{day}, {h} wanted to make {food} for [{f}|{e}|the whole family]." if not v["h"].animal else "{day}, {h} wanted to make {food} for [{f}|{e}|all {h.his} friends]."],
        [pick(["{h} put on an apron and took out a big bowl.", "{h.He} got a bowl, a spoon, and a big bag of flour.", "{h.He} washed {h.his} hands and lit the stove."]),
         pick(["But {h.he} was in a hurry, and {h.he} {bad}.", "{h.He} worked fast. Too fast! {h.He} {bad}.", "{h.He} did not read the recipe, and {h.he} {bad}."]),
         pick(["\"Oh no!\" said {h}. \"Now it is ruined.\"", "{h} looked at the mess and wanted to give up.", "\"I can't do it,\" {h} said, and {h.his} eyes filled with tears."])],
        [pick(["{e.Ref} came in and saw the mess. \"Everyone makes mistakes,\" {e.he} said. \"Let's try again, slowly.\"", "\"Don't be sad,\" said {e}. \"The first time I made {food}, I made a mess, too.\"", "{e.Ref} smiled. \"Take your time,\" {e.he} said. \"One step after another.\""]),
         pick(["So {h} started again. {h.He} measured and mixed and stirred, and this time {h.he} did not hurry.", "They cleaned the table and began again. {h} counted every spoon out loud.", "{h} tried once more. {h.He} stirred slowly and tasted with care."])],
        [pick(["Soon the whole house smelled wonderful.", "After a while, a sweet smell filled the kitchen.", "When the {food} {isare} ready, {h} could hardly wait."]),
         pick(["{f} took a bite. \"This is the best {food} I have ever had!\" {f.he} said.".replace("This is", "This is") if v["it"] == "it" else "{f} took a bite. \"These are the best {food} I have ever had!\" {f.he} said.",
               "Everyone sat down at the table and ate until nothing was left.", "{h} gave the first piece to {e}, who smiled and asked for more."]), "@close"],
    ], [("What did {h} make?", "{h} made {food}."), ("What went wrong the first time?", "{h} {bad}."), ("Who helped {h}?", "{e.Ref} helped {h} try again.")]

def p_fear(v):
    x, why, aid, truth = pick(FEARS)
    v.update(fear=x, fwhy=expand(why, v), aid=expand(aid, v), truth=expand(truth, v))
    return "courage", ["being brave", "someone who was afraid of {fear}"], [
        [intro(v), "There was only one thing that {h} did not like. {h.He} was afraid of {fear}[.|, because {fwhy}.]"],
        [pick(["{day}, {f} asked {h} to come along on a trip. \"I can't,\" {h} said. \"I am afraid of {fear}.\"", "{day}, {h} told {f} about it. \"I am afraid of {fear},\" {h.he} said quietly.", "\"Why do you never come with us?\" asked {f}. {h} looked down. \"I am afraid of {fear},\" {h.he} said."]),
         pick(["{f} did not laugh. \"Everyone is afraid of something,\" {f.he} said.", "\"That is all right,\" said {f}. \"I am afraid of something, too.\"", "\"Let's ask {e},\" said {f}. \"{e.He} always knows what to do.\""])],
        [pick(["{e.Ref} listened to every word. \"Try it one small step at a time,\" {e.he} said, \"and take {aid} with you.\"", "They went to see {e}. \"Being brave does not mean you are not afraid,\" {e.he} said. \"All you need is {aid}.\"", "{e.Ref} nodded. \"When I was young, I was afraid, too,\" {e.he} said. \"{aid} helped me.\""]),
         pick(["That evening, {h} tried. {h.His} heart beat fast, but {h.he} did not run away.", "The next time, {h} closed {h.his} eyes and counted to ten. Then {h.he} opened them again.", "{h} took one step, and then another. {f} stayed close to {h.him}."])],
        [pick(["And then {h} saw that {truth}.", "Slowly, {h} understood that {truth}.", "To {h.his} surprise, {h} found out that {truth}."]),
         pick(["\"I did it!\" {h} shouted.", "{h} laughed out loud. {h.He} was {glad}.", "\"You were so brave,\" said {f}, and {h} smiled."]), "@close"],
    ], [("What was {h} afraid of?", "{h} was afraid of {fear}."), ("What did {h} find out?", "{h} found out that {truth}."), ("Who gave {h} good advice?", "{e.Ref} gave {h} good advice.")]

def p_newfriend(v):
    v["game"] = pick(GAMES)
    return "friendship", ["making a new friend", "two friends"], [
        [intro(v), pick(["But {h} had nobody to play with, and sometimes {h.he} felt lonely.", "{h} had just moved there, and {h.he} did not know anyone yet.", "{h} often played alone."])],
        ["{day}, {h} saw a {f.kind} sitting [under a tree|on a bench|near the water|on a big stone]." if v["h"].kind != v["f"].kind else "{day}, {h} saw another {f.kind} sitting [under a tree|on a bench|near the water|on a big stone].", pick(WEATHER),
         pick(["{h} wanted to say hello, but {h.he} was a little shy.", "The {f.kind} looked lonely, too.", "{h} thought for a moment. Then {h.he} walked over."]),
         pick(["\"Hello,\" said {h}. \"My name is {h}. What is your name?\"", "\"Hi, I am {h},\" {h.he} said. \"Do you want to play?\"", "\"Hello,\" {h} said softly. \"Would you like to sit with me?\""])],
        [pick(["\"I am {f},\" said the {f.kind}. \"I would like that very much.\"", "The {f.kind} looked up and smiled. \"My name is {f},\" {f.he} said.", "\"My name is {f},\" said the {f.kind}. \"I was hoping someone would talk to me.\""]),
         pick(["They played {game} until the sun went down.", "First they played {game}. Then they [climbed a hill|ate apples|looked for pretty stones] and talked about everything.", "{h} showed {f} how to play {game}, and they laughed so much that their bellies hurt."])],
        [pick(["\"Will you come back tomorrow?\" asked {f}. \"Yes,\" said {h}. \"And the day after that.\"", "\"I am glad you said hello,\" said {f}. \"Me too,\" said {h}.", "When it was time to go home, they both waved until they could not see each other anymore."]), "@close"],
    ], [("Who did {h} meet?", "{h} met {f}, a {f.kind}."), ("What game did they play?", "They played {game}."), ("What was the name of the {f.kind}?" if v["h"].kind != v["f"].kind else "What was the name of the new friend?", "{f_name}")]

def p_quarrel(v):
    toy(v)
    return "sharing", ["two friends who learned to share", "sharing a {o}"], [
        [intro(v), "{h.His} best friend was {f}. They did everything together."],
        ["{day}, they found a {oa} {o} [in the grass|by the road|in an old box]. " + pick(["\"I saw it first!\" said {h}. \"No, I saw it first!\" said {f}.", "\"It is mine,\" said {f}. \"No, it is mine,\" said {h}.", "They both wanted it. {h} pulled on one side, and {f} pulled on the other."]),
         pick(["They shouted at each other, and then they both went home angry.", "Soon they were both crying.", "{f} walked away without saying goodbye."])],
        [pick(["At home, {h} looked at the {o}. It was not fun to play alone.", "{h} sat alone with the {o}. Everything was quiet, too quiet.", "The whole day, {h} thought about {f}. The {o} did not make {h.him} happy."]),
         pick(["{h} told {e} what had happened. \"What is worth more,\" asked {e}, \"a {o} or a friend?\"", "\"A {o} cannot laugh with you,\" said {e}. {h} knew that {e.he} was right.", "{e.Ref} said, \"It is never too late to say sorry.\""])],
        [pick(["So {h} ran to {f}. \"I am sorry,\" {h.he} said. \"Let's share it.\"", "{h} went to find {f}. \"I am sorry I was mean,\" {h.he} said. \"You can have it first.\"", "The next morning, {h} knocked on {f}'s door. \"I am sorry,\" said {h}. \"I miss you.\""]),
         pick(["\"I am sorry, too,\" said {f}. They hugged each other.", "{f} smiled. \"We can take turns,\" {f.he} said.", "\"I missed you, too,\" said {f}, and everything was good again."]),
         pick(["On Monday the {o} stayed with {h}, and on Tuesday it stayed with {f}.", "They played with it together until dinner.", "From then on, they took turns with the {o}."]), "@close"],
    ], [("What did {h} and {f} fight about?", "They fought about a {oa} {o}."), ("How did they make up?", "{h} said sorry to {f}, and they shared the {o}."), ("Who did {h} talk to?", "{h} talked to {e}.")]

def p_rescue(v):
    c, where = pick(CREATURES)
    while c.split()[-1] == v["h"].kind or c.split()[-1] == v["f"].kind: c, where = pick(CREATURES)
    v.update(c=c, where=where, how=pick(["used a long stick", "found a strong rope", "made a small bridge of wood", "dug with both hands" if not v["h"].animal else "dug with both paws", "used a big leaf", "lifted very, very carefully"]))
    return "kindness", ["helping a {c}", "a {c}"], [
        [intro(v), "{day}, {h} and {f} were [on their way home|walking to the market|playing {game}] when they heard a small cry.".replace("{game}", pick(GAMES))],
        [pick(["\"Did you hear that?\" asked {h}. They stopped and listened.", "\"Someone needs help,\" said {h}.", "\"Shh,\" said {f}. \"It is coming from over there.\""]),
         pick(["They followed the sound and found a {c}. It was stuck in {where}.", "It was a {c}, and it was stuck in {where}.", "They looked and looked until they saw a {c} stuck in {where}."]).replace("stuck in the top of", "stuck at the top of").replace("stuck in the middle of", "stuck in the middle of"),
         pick(["\"Please help me,\" said the {c}.", "The {c} was shaking with fear.", "\"Don't be afraid,\" said {h}. \"We will help you.\""])],
        [pick(["First {h} tried to reach it, but {h.he} was too small.", "{f} tried first, but it did not work.", "It was not easy. They tried once, and they tried twice."]),
         pick(["Then {h} had an idea. {h.He} {how}, and {f} held on tight.", "\"I have an idea,\" said {h}. {h.He} {how} while {f} kept watch.", "They thought hard. In the end, {h} {how}, and {f} helped."]),
         pick(["At last, the {c} was free!", "Little by little, the {c} came free.", "And just like that, the {c} was safe."])],
        [pick(["\"Thank you,\" said the {c}. \"I will never forget you.\"", "The {c} looked at them with shining eyes and then hurried home.", "\"How can I ever thank you?\" asked the {c}. \"Just be careful,\" said {h}, and they all laughed."]),
         pick(["A few days later, {h} found a [small flower|shiny stone|ripe berry] at the door. It was a gift from the {c}.", "{f} was {glad}, and so was {h}.", "The two friends walked home hand in hand." if not v["h"].animal else "The two friends walked home side by side."]), "@close"],
    ], [("Who needed help?", "A {c} needed help."), ("How did {h} help?", "{h} {how}."), ("Who was with {h}?", "{f} was with {h}.")]

def p_race(v):
    v["prize"] = pick(["a golden cup", "a big basket of fruit", "a blue ribbon", "a silver medal", "a huge cake"])
    v["trip"] = pick(["tripped over a root", "slipped in the mud", "twisted a foot on a stone", "fell into a ditch"])
    return "kindness", ["a race", "winning and losing"], [
        [intro(v), "Every year there was a big race [around the lake|up the hill|through the forest|from the bridge to the mill]. The winner would get {prize}.", pick(["{h} wanted to win more than anything.", "{h} practiced every day.", "This year, {h} was ready."])],
        ["{day}, the race began. \"Ready, set, go!\" called {e}. " + pick(["{h} ran as fast as {h.he} could.", "Everyone ran. {h} was fast, but {f} was faster.", "{h} and {f} were far ahead of the others."]), pick(WEATHER)],
        [pick(["Near the end, {f} {trip}. \"Ouch!\" {f.he} cried.", "Suddenly, {f} {trip} and could not get up.", "Then {f} {trip}. The others ran past and did not stop."]),
         pick(["{h} could see the finish line. But {h.he} stopped and turned around.", "{h} could have won the race now. But {h.he} ran back to {f}.", "{h} did not think about the prize. {h.He} stopped to help."]),
         pick(["\"Lean on me,\" said {h}. Together they walked to the end.", "\"Are you hurt?\" asked {h}. {h.He} helped {f} up, and they went on slowly.", "{h} gave {f} a hand, and they crossed the line last of all."])],
        [pick(["Nobody laughed. Everyone clapped and cheered for them.", "{e.Ref} smiled. \"You did not win the race,\" {e.he} said, \"but you won something better.\"", "The winner came over and shared the prize with both of them."]),
         pick(["\"Thank you for coming back for me,\" said {f}.", "{f} gave {h} a big hug.", "\"You are a true friend,\" said {f}."]), "@close"],
    ], [("Did {h} win the race?", "No, {h} stopped to help {f}."), ("What was the prize?", "The prize was {prize}."), ("What happened to {f}?", "{f} {trip}.")]

def p_broken(v):
    v["thing"] = pick(["a blue vase", "the big window", "a teapot with flowers on it", "the old clock", "a glass bowl", "the garden gate", "a white cup", "the picture on the wall"])
    v["the"] = re.sub(r"^a ", "the ", v["thing"])
    v["did"] = pick(["jumping on the bed", "throwing a ball inside", "running through the house", "playing too wildly", "dancing on a chair"])
    return "honesty", ["telling the truth", "{thing} that broke"], [
        [intro(v), "{day}, {h} was {did}. Crash! {the} fell down and broke.".replace("{the} fell down and broke", "[Something|There was a loud noise, and something] broke. It was {thing}")],
        [pick(["{h} was scared. {h.He} hid the pieces {hide}.", "\"Oh no,\" whispered {h}. {h.He} quickly pushed the pieces {hide}.", "Nobody had seen it. {h} ran away and said nothing."]).replace("{hide}", pick(["under the bed", "behind the door", "under the rug", "in a box"])),
         pick(["When {e} came home, {e.he} asked, \"Who broke {the}?\" {h} looked at the floor.", "Later, {e} asked what had happened. \"I don't know,\" said {h}, but {h.his} face turned red.", "At dinner, {h} was not hungry. {h.His} stomach felt heavy like a stone."])],
        [pick(["That night, {h} could not sleep. \"I have to tell the truth,\" {h.he} thought.", "{f} said, \"You will feel better if you tell the truth.\" {h} knew that {f.he} was right.", "{h} thought about it for a long time. Then {h.he} stood up."]),
         pick(["{h} went to {e}. \"I broke {the},\" {h.he} said. \"I was {did}. I am so sorry.\"", "\"It was me,\" {h} said at last. \"I was {did}, and then it broke. I am sorry.\"", "With tears in {h.his} eyes, {h} told {e} everything."])],
        [pick(["{e.Ref} was quiet for a moment. Then {e.he} hugged {h}. \"Thank you for telling me,\" {e.he} said.", "\"Things can be fixed,\" said {e}. \"It is more important that you told the truth.\"", "{e.Ref} was not angry. \"It takes courage to say that,\" {e.he} said."]),
         pick(["Together they [glued the pieces|cleaned up the mess|fixed it].", "They got some glue and put the pieces back together.", "{h} promised to be more careful, and {h.he} kept that promise."]), "@close"],
    ], [("What did {h} break?", "{h} broke {thing}."), ("What was {h} doing?", "{h} was {did}."), ("Was {e} angry?", "No, {e} was glad that {h} told the truth.")]

def p_seed(v):
    s, tall, has = pick(SEEDS)
    v.update(s=s, tall=tall, has=has)
    return "patience", ["planting a seed", "a {s}"], [
        [intro(v), "{day}, {e} gave {h} a tiny seed. \"Plant it and take care of it,\" {e.he} said. \"One day it will be a {s}.\""],
        [pick(["{h} dug a small hole, put the seed inside, and covered it with soft earth.", "{h} planted the seed in a sunny place and gave it some water.", "{h} found a good spot and planted the seed right away."]),
         pick(["The next morning, {h.he} ran to look. Nothing had happened.", "{h} waited one day. {h.He} waited two days. Nothing came up.", "Every day {h} looked at the ground, but there was nothing to see."]),
         pick(["\"It is not working,\" {h} said.", "\"Maybe the seed is asleep,\" said {f}.", "\"How long will it take?\" {h} asked {f}. \"Let's wait a little more,\" said {f}."])],
        [pick(["\"Be patient,\" said {e}. \"A seed works in the dark before it works in the light.\"", "\"Good things need time,\" said {e}. \"Give it water and sun.\"", "{e.Ref} smiled. \"You cannot pull on a plant to make it grow,\" {e.he} said."]),
         pick(["So {h} gave it water every morning and sang to it every night.", "So {h} kept watering it, through warm days and rainy days.", "{h} did not give up. {h.He} pulled out the weeds and chased away the snails."])],
        [pick(["Then, one morning, there was a tiny green leaf!", "And one day, a small green point came out of the earth.", "After two weeks, {h} saw something green. \"It is growing!\" {h.he} shouted."]),
         pick(["It grew and grew, until it was {tall}. It had {has}.", "Weeks went by, and the {s} grew {tall}. Soon it had {has}.", "By the end of the summer, the {s} had grown {tall}, with {has}."]).replace("had grown as", "was as").replace("grew as", "became as").replace("until it was all", "until it went all").replace("until it was up", "until it went up").replace("until it was higher", "until it was higher"),
         pick(["{h} and {f} sat next to it and were {glad}.", "Everyone came to see it.", "{h} shared it with {f} and {e}."]), "@close"],
    ], [("What did {h} plant?", "{h} planted a seed, and it became a {s}."), ("Who gave {h} the seed?", "{e.Ref} gave {h} the seed."), ("What did the {s} have?", "It had {has}.")]

def p_gift(v):
    v["gift"], v["mat"] = pick([("a necklace", "acorns and string"), ("a card", "paper and pressed flowers"), ("a little boat", "bark and a leaf"), ("a crown", "daisies"), ("a song", "only a few words"),
                     ("a picture", "colored chalk"), ("a pillow", "old cloth and soft feathers"), ("a wind chime", "shells and sticks"), ("a basket", "willow branches"), ("a puppet", "an old sock")])
    return "giving", ["a birthday gift", "{gift}"], [
        [intro(v), "Tomorrow was {f}'s birthday, and {h} wanted to give {f.him} something special.", pick(["But {h} had no money.", "But {h} had nothing to give.", "But everything in the shop cost too much." if not v["h"].animal else "But {h} did not have anything nice at home."])],
        [pick(["\"What can I do?\" {h} asked {e}.", "{h} went to {e} and asked for help.", "{h} told {e} about it."]),
         pick(["\"The best gifts are not bought,\" said {e}. \"They are made.\"", "\"What do you have?\" asked {e}. {h} looked around. {h.He} had {mat}.", "\"Use your hands and your heart,\" said {e}."]).replace("He had only", "He had only")],
        [pick(["So {h} sat down and went to work. {h.He} made {gift} from {mat}.", "All day long, {h} worked. From {mat}, {h.he} made {gift}.", "{h} took {mat} and made {gift}. It took the whole afternoon."]),
         pick(["It was not perfect, but it was made with love.", "\"I hope {f} will like it,\" {h} thought.", "When it was done, {h} was {glad}."])],
        [pick(["The next day, there were many presents on the table. {h} felt a little shy.", "At the party, everyone gave {f} a present. {h} was the last one.", "The next morning, {h} went to {f}'s house with the gift behind {h.his} back."]),
         pick(["{f} looked at {gift} for a long time. \"You made this for me?\" {f.he} asked. \"It is the best present of all.\"", "\"It is beautiful!\" said {f}. \"I will keep it forever.\"", "{f} laughed with joy and hugged {h}. \"I love it,\" {f.he} said."]).replace("looked at a song", "listened to the song").replace("looked at a ", "looked at the "),
         "@close"],
    ], [("What did {h} make?", "{h} made {gift}."), ("Whose birthday was it?", "It was {f}'s birthday."), ("What was the gift made of?", "It was made of {mat}.")]

def p_lostway(v):
    v["chase"] = pick(["a blue butterfly", "a rolling apple", "a white feather in the wind", "a bright dragonfly", "a rainbow", "a hopping grasshopper"])
    v["mark"] = pick(["a crooked tree", "a red mushroom", "a stone shaped like a heart", "the sound of the river", "the smoke from a chimney", "the church bell"])
    return "listening", ["getting lost in the forest", "finding the way home"], [
        [intro(v), "\"Do not go too far,\" {h.his} {h.parent} always said."],
        ["{day}, {h} saw {chase}. " + pick(["\"Wait for me!\" {h.he} called, and {h.he} ran after it.", "{h.He} followed it over the hill and into the trees.", "It was so pretty that {h} forgot everything else and followed it."]),
         pick(["When {h.he} stopped, nothing looked the same.", "After a while, {h} looked around. {h.He} did not know where {h.he} was.", "Soon the path was gone, and the trees were tall and dark."]),
         pick(["\"I am lost,\" whispered {h}.", "{h}'s heart beat fast. It was getting late.", "The sun was going down, and {h} was cold and hungry."])],
        [pick(["Then {h} heard a voice. It was {f}. \"Are you lost?\" {f.he} asked.", "Just then, {f} came out from behind a tree. \"You look lost,\" said {f}.", "\"Hello?\" someone called. It was {f}, carrying a little light."]),
         pick(["\"Stay calm and think,\" said {f}. \"What did you see on your way?\"", "\"Tell me what you remember,\" said {f}.", "\"Don't cry,\" said {f}. \"We can find the way together.\""]),
         pick(["{h} closed {h.his} eyes and remembered {mark}.", "{h} thought and thought. \"{mark}!\" {h.he} said.", "\"I remember {mark},\" said {h}."])],
        [pick(["They looked for it, and step by step they found the way back.", "That was the clue they needed. They walked and walked until they saw a light in the window.", "They followed it, and soon {h} could see home."]),
         pick(["{h.Parent} was waiting at the door. \"I was so worried,\" {h.parent} said, and held {h} tight.".replace("{h.Parent} was", "{h}'s {h.parent} was").replace("{h.parent} said", "the {h.parent} said") , "{h}'s {h.parent} ran out and hugged {h.him}.", "{h}'s {h.parent} made hot soup for both of them."]), "@close"],
    ], [("What did {h} follow?", "{h} followed {chase}."), ("Who helped {h} find the way home?", "{f} helped {h}."), ("What did {h} remember?", "{h} remembered {mark}.")]

def p_sick(v):
    v["food"] = pick(["a pot of warm soup", "a cup of tea with honey", "a bowl of sweet berries", "a loaf of fresh bread"])
    v["fun"] = pick(["told a funny story", "sang a quiet song", "read from a book", "made shadow animals on the wall", "drew a picture of the sun"])
    return "kindness", ["helping a sick friend", "being kind"], [
        [intro(v), "{h}'s best friend was {f}. Every day they played {game} together.".replace("{game}", pick(GAMES))],
        ["But {day_l}, {f} did not come. " + pick(["{h} waited and waited.", "\"Where can {f.he} be?\" {h} wondered.", "{h} looked at the empty path."]), pick(["{e.Ref} told {h} that {f} was sick and had to stay in bed.", "\"{f} has a bad cold,\" said {e}.", "{h} went to {f}'s home and found {f.him} in bed."])],
        [pick(["{h} wanted to help. {h.He} took {food} and walked all the way to {f}'s home.", "\"I know what to do,\" said {h}. {h.He} brought {food} for {f}.", "So {h} went to the kitchen and came back with {food}."]),
         pick(["Then {h.he} sat beside the bed and {fun}.", "{h} {fun}, and {f} smiled for the first time that day.", "After that, {h} {fun} until {f} fell asleep."]),
         pick(["\"You should rest now,\" said {h}. \"I will come back tomorrow.\"", "\"I feel a little better already,\" said {f}.", "Outside it was raining, but inside it was warm."])],
        [pick(["Every day {h} came back, and every day {f} felt a little better.", "A few days later, {f} was well again.", "By the end of the week, {f} could run and jump again."]),
         pick(["\"Thank you for taking care of me,\" said {f}.", "\"You were my best medicine,\" said {f}, and they both laughed.", "They ran outside to play, and {f} ran the fastest of all."]), "@close"],
    ], [("Who was sick?", "{f} was sick."), ("What did {h} bring?", "{h} brought {food}."), ("How did {h} cheer up {f}?", "{h} {fun}.")]

def p_skill(v):
    s, win, fail = pick(SKILLS)
    v.update(skill=s, win=win, fail=expand(fail, v))
    return "practice", ["learning to {skill}", "someone who wanted to {skill}"], [
        [intro(v), "There was one thing {h} wanted to do more than anything: {h.he} wanted to {skill}."],
        ["{day}, {h} tried for the first time, but {h.he} {fail}. " + pick(["Some of the others laughed.", "{h} felt [silly|sad|angry].", "\"It is too hard,\" {h.he} said."]),
         pick(["{f} could already {skill}, and it looked so easy.", "{h} wanted to give up.", "{h} tried again, but {h.he} {fail} once more."])],
        [pick(["\"May I tell you a secret?\" asked {e}. \"I could not do it at first, either.\"", "{e.Ref} said, \"Do not count how often you fall. Count how often you get up.\"", "\"Practice a little every day,\" said {e}."]),
         pick(["So {h} practiced every morning before breakfast.", "So every day after lunch, {h} practiced, and {f} helped.", "{h} practiced on Monday, on Tuesday, and every other day of the week."]),
         pick(["Slowly, it became easier.", "Some days were good, and some days were bad.", "Each day, {h.he} was a little better than the day before."])],
        [pick(["Then, one fine day, {h} {win}!", "At the end of the month, everyone came to watch. {h} took a deep breath and {win}.", "And one morning, it happened. {h} {win}, just like that."]),
         pick(["Everyone clapped.", "\"Hooray!\" cried {f}.", "{h} could hardly believe it. {h.He} was {glad}."]), "@close"],
    ], [("What did {h} want to do?", "{h} wanted to {skill}."), ("What happened the first time?", "{h} {fail}."), ("What did {h} do in the end?", "{h} {win}.")]

def p_secret(v):
    a, b, c = pick(SECRET)
    v.update(sa=a, sb=b, sc=expand(c, v))
    return "curiosity", ["a secret place", "{sa}"], [
        [intro(v), "{h} loved to explore. " + pick(["{h.He} looked under every stone and behind every tree.", "{h.He} always wanted to know what was on the other side.", "{h.He} kept a list of everything {h.he} had found."])],
        ["{day}, {h} found {sa} {sb}. " + pick(["\"I have never seen this before,\" {h.he} said.", "{h.He} rubbed {h.his} eyes. It was really there.", "{h.His} heart began to beat faster."]),
         pick(["{h} ran to get {f}. \"You have to see this!\" {h.he} said.", "\"{f}, come quickly!\" {h} called.", "{f} was there, too. \"Do you think we should look?\" {f} asked."])],
        [pick(["\"Maybe it is dangerous,\" said {f}. \"We will be careful,\" said {h}.", "\"Let's go together,\" said {f}, and {f.he} took a deep breath.", "\"What could it be?\" asked {f}. \"There is only one way to find out,\" said {h}."]),
         pick(["They went on, one step at a time.", "Slowly and quietly, they went to see.", "They held on to each other and did not make a sound."]),
         pick(["And then they found {sc}.", "At the end they discovered {sc}.", "What they found was {sc}."])],
        [pick(["\"It is beautiful,\" whispered {f}.", "For a long time, they just looked and looked.", "Neither of them could say a word."]),
         pick(["\"Let's keep it as our secret,\" said {h}.", "They promised to come back every week.", "Later they told {e}, who smiled and said, \"I found it, too, when I was young.\""]), "@close"],
    ], [("What did {h} find?", "{h} found {sa}."), ("What did they discover?", "They discovered {sc}."), ("Who went with {h}?", "{f} went with {h}.")]

def p_noise(v):
    n, c = pick(NOISES)
    while any(k in c for k in (v["h"].kind, v["f"].kind)): n, c = pick(NOISES)
    v.update(n=n, N=n.capitalize(), c=c)
    return "courage", ["a strange noise in the night", "a mystery"], [
        [intro(v), "One night, {h} woke up. There was a strange noise. \"{N},\" it went."],
        [pick(["{h} pulled the blanket over {h.his} head.", "\"What is that?\" {h} whispered.", "{h} sat up and listened. \"{N},\" it went again."]),
         pick(["In the morning, {h} told {f} about it. \"Maybe it is a ghost,\" said {f}.", "The next day, {h} asked {f}, but {f} did not know what it was.", "\"I heard it, too,\" said {f} the next day. \"It was so strange.\""]),
         pick(["\"There is always a reason,\" said {e}. \"Go and look for it.\"", "\"Don't guess,\" said {e}. \"Look and listen.\"", "They made a plan to find out."])],
        [pick(["So that night, {h} and {f} took a lantern and went outside.", "When it was dark, they waited together and stayed very still.", "That evening, they followed the sound on the tips of their toes."]),
         pick(["\"{N}.\" It was close now.", "{h}'s knees were shaking, but {h.he} went on.", "\"{N}.\" {f} held {h}'s arm."]),
         pick(["{h} lifted the light. It was only {c}!", "And there they saw it: {c}.", "They looked around the corner and found {c}."])],
        [pick(["They laughed until they could not stand.", "\"That is not scary at all,\" said {f}.", "\"Hello there,\" said {h}. \"You gave us a fright.\""]),
         pick(["After that, {h} liked the sound. It helped {h.him} fall asleep.", "The mystery was solved, and they went back to bed.", "{h} told {e} everything the next morning, and they all had a good laugh."]), "@close"],
    ], [("What did {h} hear?", "{h} heard a noise that went \"{n}.\""), ("What made the noise?", "It was {c}."), ("Was it a ghost?", "No, it was only {c}.")]

def p_team(v):
    v["thing"], v["what"] = pick([("a bridge over the stream", "wood and rope"), ("a tree house", "boards and nails"), ("a big snowman", "snow and two black stones"), ("a raft", "logs and rope"),
                      ("a scarecrow", "straw and an old coat"), ("a swing", "a plank and two ropes"), ("a house for the birds", "wood and moss"), ("a stone oven", "flat stones and clay"), ("a playground", "old tires and ropes")])
    return "teamwork", ["working together", "building {thing}"], [
        [intro(v), "{day}, {h} had a big idea. \"I want to build {thing},\" {h.he} said."],
        [pick(["{h.He} started alone. {h.He} carried {what} all morning.", "{h.He} wanted to do it all by {h.himself}.", "\"Do you need help?\" asked {f}. \"No,\" said {h}. \"I can do it alone.\""]),
         pick(["But it was too heavy, and everything fell down.", "But by noon, {h} was tired, and there was not much to see.", "But one part after another fell over."]),
         pick(["{h} sat on the ground with a red face.", "\"I will never finish,\" {h} said.", "{h} kicked a stone and sighed."])],
        [pick(["{e.Ref} came by. \"Even ants do not work alone,\" {e.he} said.", "\"Why don't you ask your friends?\" said {e}.", "Then {h} looked at {f}. \"Will you help me after all?\" {h.he} asked."]),
         pick(["So {h} called {f}, and {f} called the others. Soon everyone had a job.", "\"Of course,\" said {f}. {f.He} brought {what}, and {h} made a plan.", "{f} was good at measuring, and {h} was good at climbing. It went much faster."]),
         pick(["They worked, and they sang, and they worked some more.", "One held, one pushed, and one tied the knots.", "Nobody was too small to help."])],
        [pick(["When the sun went down, it was done.", "By evening, they had finished {thing}.", "At the end of the day, they stood back and looked at it."]),
         pick(["It was even better than {h} had dreamed.", "\"We did it!\" they all shouted.", "{h} was {glad}. \"I could not have done it without you,\" {h.he} said."]), "@close"],
    ], [("What did {h} want to build?", "{h} wanted to build {thing}."), ("Who helped {h}?", "{f} and the others helped {h}."), ("What did they use?", "They used {what}.")]

def p_wish(v):
    v["src"] = pick(["a shooting star", "a wishing well", "a golden fish", "a tiny fairy", "an old silver lamp", "a talking stone"])
    v["w"], v["prob"], v["back"] = pick([("to be as tall as a tree", "{h.he} could not fit through the door, and all {h.his} friends ran away", "to be small again"),
                             ("that it would never rain again", "the flowers dried up and the pond was empty", "for rain"),
                             ("to eat only cake", "{h.his} stomach hurt, and cake did not taste good anymore", "for a bowl of simple soup"),
                             ("to be able to fly", "the wind blew {h.him} far away from home", "to stand on the ground again"),
                             ("that the day would never end", "everyone was tired and nobody could sleep", "for the moon and the stars"),
                             ("to have all the toys in the world", "there was no room left to play", "for just one toy and one friend")])
    v["prob"] = expand(v["prob"], v)
    return "curiosity", ["a magic wish", "{src}"], [
        [intro(v), "{day}, {h} met {src}. \"You may make one wish,\" it said.".replace("{h} met a shooting star", "{h} saw a shooting star") if v["src"] not in ("a shooting star", "a wishing well") else "One night, {h} found {src}. \"Make a wish,\" said a soft voice.".replace("found a shooting star", "saw a shooting star")],
        [pick(["{h} did not think for long. \"I wish {w}!\" {h.he} said.", "\"I wish {w},\" said {h} at once.", "{h} closed {h.his} eyes and wished {w}."]),
         pick(["There was a flash of light, and the wish came true.", "In the blink of an eye, it happened.", "The air sparkled, and the wish was granted."]), pick(["At first it was wonderful.", "At first {h} laughed and danced.", "{h} had never been so excited."])],
        [pick(["But soon {prob}.", "But after a while, {prob}.", "But by the next day, {prob}."]), pick(["\"This is not what I wanted,\" said {h}.", "\"What have I done?\" cried {h}.", "{h} missed the way things had been."]),
         pick(["{f} said, \"Sometimes we already have what we need.\"", "\"You can always ask again,\" said {f}.", "{f} took {h} back to the same place."])],
        [pick(["So {h} asked {back}, and everything was as before.", "{h} wished {back}. And slowly, everything went back to normal.", "\"Please,\" said {h}, and {h.he} wished {back}. The magic stopped."]),
         pick(["{h} hugged {f}. The world had never looked so good.", "{h} was {glad}, and {h.he} never made such a wish again.", "\"Next time, I will think first,\" said {h}."]), "@wise"],
    ], [("What did {h} wish?", "{h} wished {w}."), ("What went wrong?", "{Prob}."), ("What did {h} wish in the end?", "In the end, {h} wished {back}.")]

def p_star(v):
    return "patience", ["a quiet night", "the moon and the stars"], [
        [intro(v), "One night, {h} could not sleep. " + pick(["{h.He} turned to the left and {h.he} turned to the right.", "The room was too quiet.", "{h.He} had too many thoughts in {h.his} head."])],
        [pick(["{h} looked out at the sky. The moon was [round and bright|thin and silver|big and yellow].", "Outside, the moon was shining on the [roofs|fields|water|trees].", "{h} saw the moon and a thousand stars."]),
         pick(["\"Are you awake, too?\" {h} asked the moon.", "\"Hello, moon,\" {h} said. \"I can't sleep.\"", "\"How do you stay up all night?\" {h} asked the moon."]),
         pick(["And it seemed to {h} that the moon smiled.", "A soft light fell on {h.his} face.", "A small cloud moved, and the moon was even brighter."])],
        [pick(["{h.His} {h.parent} came in. \"Can't you sleep?\" the {h.parent} asked. \"Let's count the stars.\"", "{f} was awake, too. \"Let's count the stars,\" said {f}.", "{e.Ref} came and sat down. \"Count the stars with me,\" {e.he} said."]),
         pick(["\"One, two, three, four,\" they counted.", "They counted ten stars, and then twenty, and then fifty.", "They gave a name to every star they could see."]),
         pick(["Far away, an owl called. The wind was soft.", "The night was warm and still.", "The leaves whispered in the wind."])],
        [pick(["Before they came to one hundred, {h} was asleep.", "{h}'s eyes grew heavy. Soon {h.he} was asleep.", "\"Good night, moon,\" said {h}, and {h.he} fell asleep."]),
         pick(["{h.He} dreamed of [flying over the sea|a silver boat|a garden on the moon|a river of stars].", "And the moon watched over {h.him} until the morning.", "In the morning, the sun was shining, and {h} felt wonderful."])],
    ], [("Why was {h} awake?", "{h} could not sleep."), ("What did they count?", "They counted the stars."), ("What did {h} see in the sky?", "{h} saw the moon and the stars.")]

def p_storm(v):
    v["harm"], v["fix"] = pick([("the roof of the school", "new boards"), ("the bridge", "strong wood"), ("the fence of the farm", "wire and posts"), ("the nest in the old tree", "twigs and moss"), ("the mill", "stones and nails"), ("the little boats", "rope and tar")])
    v["hwas"] = "were" if v["harm"].endswith("s") else "was"
    return "teamwork", ["a big storm", "helping after a storm"], [
        [intro(v), "{day}, dark clouds came over the hills. " + pick(["\"A storm is coming,\" said {e}.", "The wind grew stronger and stronger.", "Thunder rolled far away."])],
        [pick(["{h} ran to warn {f} and all the others.", "\"Everyone inside!\" {h} called.", "{h} and {f} brought the little ones to a safe place."]),
         pick(["All night long, the rain fell and the wind howled.", "The storm was loud, and nobody could sleep.", "They sat close together and told stories while the rain beat on the roof."])],
        [pick(["In the morning, the storm was over. But it had broken {harm}.", "When the sun came out, they saw that the storm had broken {harm}.", "The next day, everything was wet and {harm} {hwas} broken."]),
         pick(["Everyone was sad. \"Who will fix it?\" they asked.", "\"It will take weeks,\" said {e}.", "{f} had tears in {f.his} eyes."]),
         pick(["\"We will,\" said {h}. \"If we all help, we can do it today.\"", "{h} rolled up {h.his} sleeves. \"Let's begin,\" {h.he} said." if not v["h"].animal else "{h} stood up straight. \"Let's begin,\" {h.he} said.", "\"Look,\" said {h}, \"there are so many of us.\""])],
        [pick(["Some brought {fix}. Some brought food. Everyone worked together.", "They got {fix} and worked all day.", "{f} brought {fix}, and {h} showed everyone what to do."]),
         pick(["By sunset, it was as good as new.", "When the work was done, it was stronger than before.", "In the evening, they all ate together at one long table."]), "@close"],
    ], [("What did the storm break?", "The storm broke {harm}."), ("What did they use to fix it?", "They used {fix}."), ("Who said they could fix it?", "{h} said that they could fix it together.")]

def p_market(v):
    v["buy"] = pick(["a loaf of bread", "six brown eggs", "a bag of apples", "a jar of honey", "a ball of wool", "a new pot"])
    v["need"], v["gave"] = pick([("was hungry and had nothing to eat", "half of {h.his} lunch"), ("had lost {f.his} purse", "{h.his} last coin"), ("was shivering in the cold", "{h.his} warm scarf"), ("could not carry a heavy basket", "a helping hand"), ("had a cart with a broken wheel", "the whole afternoon")])
    v["need"], v["gave"] = expand(v["need"], v), expand(v["gave"], v)
    return "kindness", ["a trip to the market", "helping others"], [
        [intro(v), "{day}, {h.his} {h.parent} gave {h.him} three coins. \"Please go to the market and buy {buy},\" the {h.parent} said."],
        [pick(["{h} put the coins in {h.his} pocket and set off.", "{h} sang all the way down the road.", "The road was long, but {h} did not mind."]), pick(["The market was full of [colors|noise|good smells].", "There were [apples, pears, and plums|pots, pans, and baskets|cakes, nuts, and cheese] everywhere.", "Everyone was shouting and laughing."])],
        [pick(["On the way, {h} met {f}, who {need}.", "Near the gate {h} saw {f}, who {need}.", "There, at the corner, was {f}, who {need}."]), pick(["{h} thought about it for a moment. Then {h.he} gave {f} {gave}.", "{h} did not walk past. {h.He} gave {f} {gave}.", "\"Let me help,\" said {h}, and {h.he} gave {f} {gave}."]), pick(["\"I will not forget this,\" said {f}.", "{f} could hardly speak. \"Thank you,\" {f.he} said.", "\"You are very kind,\" said {f}."])],
        [pick(["When {h} came home with {buy}, it was already late, but {h.his} {h.parent} was not angry.", "{h} bought {buy} and hurried home.", "At last, {h} came home with {buy}."]), pick(["The next week, {h} needed help, and it was {f} who came running.", "A few days later, there was a basket at the door. It was a gift from {f}.", "{h.His} {h.parent} listened to the story and said, \"I am proud of you.\""]), "@close"],
    ], [("What did {h} have to buy?", "{h} had to buy {buy}."), ("Who did {h} help?", "{h} helped {f}, who {need}."), ("What did {h} give {f}?", "{h} gave {f} {gave}.")]

def p_winter(v):
    v["store"] = pick(["nuts and seeds", "apples and grain", "dry wood and berries", "turnips and honey"])
    return "sharing", ["getting ready for winter", "a cold winter"], [
        [intro(v), "All summer long, {h} worked hard. {h.He} gathered {store} for the winter. " + pick(["{f} only laughed. \"The sun is shining. Come and play!\" {f.he} said.", "\"Why do you work so much?\" asked {f}. \"Winter is far away.\"", "But {f} slept in the sun and danced in the meadow."])],
        [pick(["Then the leaves fell, and the days grew short.", "Autumn came, and then the first frost.", "Soon the nights were cold and the fields were bare."]), pick(["One night, it began to snow. It snowed for three days.", "One morning, the whole world was white.", "The wind howled, and the snow came up to the windows."])],
        [pick(["There was a knock at {h}'s door. It was {f}. \"I am cold and hungry,\" {f.he} said.", "{f} stood outside in the snow. \"I have nothing to eat,\" {f.he} said in a small voice.", "{h} heard someone crying outside. It was {f}."]), pick(["{h} could have said, \"I told you so.\" But {h.he} did not.", "{h} looked at the {store}. There was not much, but it was enough for two.", "{h} remembered how {f} had laughed, but {h.he} opened the door anyway."])],
        [pick(["\"Come in,\" said {h}. \"Sit by the fire.\"", "\"Come in and eat,\" said {h}. \"There is room for both of us.\"", "{h} gave {f} a warm blanket and a full bowl."]), pick(["They told stories all winter, and the days went by quickly.", "When spring came, they planted a garden together.", "The next summer, {f} was the first one at work."]), "@close"],
    ], [("What did {h} gather?", "{h} gathered {store}."), ("Who came to the door?", "{f} came to the door, cold and hungry."), ("Did {h} help {f}?", "Yes, {h} let {f} come in.")]

def p_music(v):
    v["inst"] = pick(["drum", "violin", "trumpet", "guitar", "piano", "big bell"])
    v["use"] = pick(["two spoons and a pot", "a comb and a piece of paper", "bottles filled with water", "a box and some rubber bands", "dry beans in a jar"])
    return "imagination", ["a concert", "making music"], [
        [intro(v), "In the evening there would be a big concert, and {h} was going to play the {inst}."],
        [pick(["But when {h} opened the case, it was empty.", "But when {h} picked up the {inst}, it broke in two.", "But the {inst} had been left out in the rain, and it would not make a sound."]), pick(["\"What shall I do now?\" cried {h}.", "\"The concert is tonight!\" said {h}. {h.His} eyes filled with tears.", "{h} sat on the steps with {h.his} head in {h.his} hands." if not v["h"].animal else "{h} sat on the steps and hung {h.his} head."])],
        [pick(["{f} sat down next to {h}. \"Music is everywhere,\" {f.he} said. \"Listen.\"", "{e.Ref} tapped on the table. \"Everything can sing,\" {e.he} said.", "Just then, {f} dropped a spoon. Ding! {h} looked up."]), pick(["They looked around the kitchen and found {use}.", "{h} had an idea. {h.He} went to get {use}.", "In a corner, they found {use}."]), pick(["{h} tried it. It made a wonderful sound!", "They practiced until it was time to go.", "It sounded strange at first, but then it sounded like [rain|bells|laughter|the sea]."])],
        [pick(["That night, {h} played better than ever.", "When {h} began to play, everyone became quiet.", "The people listened, and then they began to dance."]), pick(["They clapped for a long time.", "\"Play it again!\" they shouted.", "\"I have never heard anything like it,\" said {e}."]), "@close"],
    ], [("What did {h} want to play?", "{h} wanted to play the {inst}."), ("What did {h} use in the end?", "{h} used {use}."), ("When was the concert?", "The concert was in the evening.")]

def p_bird(v):
    v["b"] = pick(["robin", "swallow", "dove", "blue jay", "finch", "little owl"])
    v["hurt"] = pick(["a broken wing", "a hurt foot", "no strength left to fly"])
    return "kindness", ["a {b} with {hurt}", "setting a bird free"], [
        [intro(v), "{day}, {h} found a {b} [on the doorstep|under a bush|in the wet grass]. It had {hurt}."],
        [pick(["\"Poor little thing,\" said {h}. {h.He} carried it home very gently.", "{h} picked it up as softly as {h.he} could.", "\"Don't be afraid,\" {h} whispered. \"I will take care of you.\""]), pick(["{h} made a bed for it in a box with soft wool.", "{e.Ref} showed {h} how to feed it with crumbs and water.", "{h} and {f} took turns looking after it."])],
        [pick(["Day after day, the {b} grew stronger.", "After one week, it could hop. After two weeks, it could sing.", "Every morning, the {b} sang a little louder."]), pick(["{h} loved the {b} and wanted to keep it.", "\"I want it to stay with me,\" said {h}.", "{h} was afraid of the day when it would fly away."]), pick(["\"A bird needs the sky,\" said {e}.", "\"If you love it, let it go,\" said {f}.", "But {h} saw how it looked at the open window."])],
        [pick(["So one bright morning, {h} opened the window. The {b} flew up, up, up into the sky.", "So {h} went out to the hill and opened {h.his} hands. The {b} flew away." if not v["h"].animal else "So {h} took it to the top of the hill, and the {b} flew away.", "{h} took a deep breath and let the {b} go."]), pick(["{h} was sad and happy at the same time.", "The next spring, the {b} came back and sang at {h}'s window.", "\"Goodbye, little friend,\" said {h}, and {h.he} waved."]), "@close"],
    ], [("What did {h} find?", "{h} found a {b}."), ("What was wrong with the bird?", "It had {hurt}."), ("What happened to the {b} in the end?", "{h} let the {b} fly away.")]

def p_school(v):
    v["worry"] = pick(["nobody would talk to {h.him}", "{h.he} would get lost in the long halls", "the teacher would be strict", "{h.he} would not know the answers"])
    v["worry"] = expand(v["worry"], v)
    v["subj"] = pick(["drew a picture of the sea", "sang a song about the seasons", "counted to one hundred", "learned a new word", "planted beans in little pots", "listened to a story about the stars"])
    return "courage", ["the first day of school", "a new school"], [
        [intro(v), "Tomorrow would be {h}'s first day at a new school. " + pick(["{h} could not eat {h.his} supper.", "{h} packed {h.his} bag three times.", "{h}'s stomach felt funny."])],
        [pick(["\"What is the matter?\" asked {h.his} {h.parent}.", "{h.His} {h.parent} sat down on the bed. \"Are you worried?\"", "\"You are so quiet,\" said {h.his} {h.parent}."]), pick(["\"I am afraid that {worry2},\" said {h}.", "{h} nodded. {h.He} was afraid that {worry}."]).replace("\"I am afraid that {worry2},\" said {h}.", "{h} was afraid that {worry}."), pick(["\"Everyone is new sometime,\" the {h.parent} said. \"Just be yourself.\"", "\"Look for someone who is alone,\" the {h.parent} said, \"and say hello.\"", "\"A smile is a good start,\" the {h.parent} said."])],
        [pick(["In the morning, {h} walked slowly through the big door.", "The next day, {h} stood in front of the school and counted to three. Then {h.he} went in.", "The bell rang, and {h} found a chair by the window."]), pick(["Next to {h.him} sat {f}, who looked just as nervous.", "{f} was there, too, all alone. {h} smiled at {f.him}.", "A {f.kind} named {f} moved over to make room."]), pick(["\"Is it your first day, too?\" asked {h}. {f} nodded and smiled.", "\"You can use my pencils,\" said {f}.", "\"Do you want to sit with me?\" asked {f}."])],
        [pick(["That day, they {subj}.", "In the first lesson, they {subj}.", "The teacher was kind, and the whole class {subj}."]), pick(["When school was over, {h} did not want to go home.", "\"How was it?\" asked {h.his} {h.parent}. \"Can I go again tomorrow?\" said {h}.", "On the way home, {h} talked and talked about {h.his} new friend."]), "@close"],
    ], [("What was {h} afraid of?", "{h} was afraid that {worry}."), ("Who sat next to {h}?", "{f} sat next to {h}."), ("What did they do at school?", "They {subj}.")]

def p_guard(v):
    v["g"] = pick(["a grumpy troll", "a huge gray wolf", "an angry goose", "a giant with a long beard", "a sleepy dragon", "a stubborn old goat"])
    while v["h"].kind in v["g"] or v["f"].kind in v["g"]: v["g"] = pick(["a grumpy troll", "an angry goose", "a giant with a long beard"])
    v["G"] = re.sub(r"^an? ", "", v["g"]); v["gs"] = v["G"].replace(" with a long beard", "")
    v["way"] = pick(["the bridge", "the mountain path", "the gate of the garden", "the door of the tower", "the only road home"])
    v["q"], v["ans"] = pick([("What has a neck but no head?", "A bottle"), ("What gets wetter the more it dries?", "A towel"), ("What has hands but cannot clap?", "A clock"), ("What goes up but never comes down?", "Your age"),
                       ("What has teeth but cannot bite?", "A comb"), ("What is full of holes but still holds water?", "A sponge"), ("What runs all day but never gets tired?", "A river"), ("What can you break without touching it?", "A promise")])
    v["ansl"] = v["ans"][0].lower() + v["ans"][1:]
    return "cleverness", ["a riddle", "{g}"], [
        [intro(v), "{day}, {h} and {f} came to {way}. But there stood {g}."],
        [pick(["\"Stop!\" said the {gs}. \"Nobody may pass.\"", "\"Who is there?\" roared the {gs}. \"Go away!\"", "\"This is my place,\" said the {gs}. \"You may not pass.\""]), pick(["{f} wanted to run away, but {h} stayed calm.", "{f} hid behind {h}.", "\"We are too small to fight,\" whispered {f}."]), pick(["\"Please,\" said {h}, \"we only want to go home.\"", "\"You look bored,\" said {h}. \"Do you like riddles?\"", "\"If you let us try, we will answer any question,\" said {h}."])],
        [pick(["The {gs} thought about it. \"Answer my riddle, then,\" it said. \"{q}\"", "\"Very well,\" said the {gs}. \"{q}\"", "\"One riddle,\" said the {gs}. \"Only one. {q}\""]), pick(["{f} did not know. {h} closed {h.his} eyes and thought.", "It was quiet for a long time.", "{h} and {f} whispered to each other."]), pick(["\"{ans}!\" said {h}.", "Then {h} smiled. \"It is {ansl},\" {h.he} said.", "\"I know!\" said {h}. \"{ans}!\""])],
        [pick(["The {gs} laughed so loudly that the leaves shook. \"You are right,\" it said, and it stepped aside.", "\"Nobody has ever known that,\" said the {gs}. \"You may pass, my clever friends.\"", "The {gs} clapped and let them go."]), pick(["\"Come back and bring me a new riddle,\" it said.", "\"You were so clever,\" said {f}.", "After that, they visited the {gs} every Sunday and brought a new riddle."]), "@close"],
    ], [("Who stood in the way?", "{G2} stood in the way."), ("What was the riddle?", "The riddle was: {q}"), ("What was the answer?", "The answer was {ansl}.")]

def p_promise(v):
    v["task"], v["bad"], v["fix"] = pick([("feed the hens", "the hens were hungry and loud", "gave them corn and fresh water"), ("water the flowers", "the flowers hung their heads", "brought one bucket of water after another"), ("close the gate", "the sheep had run into the field", "brought the sheep back, one by one"),
                     ("watch the soup", "the soup had boiled over", "cleaned the stove and cooked a new soup"), ("light the lamp in the window", "the window was dark", "ran up the stairs and lit the lamp"), ("post an important letter", "the letter was still in {h.his} pocket", "ran all the way to the post office")])
    v["bad"] = expand(v["bad"], v)
    v["bad_c"] = v["bad"][0].upper() + v["bad"][1:]
    v["fun"] = pick(["a parade in the street", "a puppet show", "a new game with a hoop", "a funny little dog", "a kite in the sky", "a race between two frogs"])
    return "promise", ["keeping a promise", "a promise to {task}"], [
        [intro(v), "{day}, {e} said, \"I have to go away until the evening. Will you {task}?\" \"I promise,\" said {h}."],
        [pick(["But on the way, {h} saw {fun}.", "Then {f} came running. \"Come and look! There is {fun}!\"", "{h} was just about to start when {h.he} saw {fun}."]), pick(["\"I will do it later,\" {h} thought.", "\"There is still enough time,\" said {h}.", "It was so much fun that {h} forgot everything else."])],
        [pick(["When the sun was low, {h} suddenly remembered {h.his} promise.", "Then the clock struck five, and {h} jumped up. \"My promise!\" {h.he} cried.", "\"Did you not promise something?\" asked {f}. {h} turned pale."]), pick(["{h.He} ran back as fast as {h.he} could. {bad_c}.", "{h} hurried home. It was just as {h.he} feared: {bad}.", "When {h.he} came back, {bad}."]), pick(["Without resting, {h} {fix}.", "{h} did not waste a minute. {h.He} {fix}.", "{f} came to help, and together they put it right. {h} {fix}."])],
        [pick(["When {e} came home, {h} told {e.him} everything.", "\"I almost forgot,\" {h} told {e}. \"I am sorry.\"", "{e.Ref} came home just in time to see it."]), pick(["\"You did keep your promise in the end,\" said {e}.", "\"Thank you for telling me,\" said {e}. \"I know I can trust you.\"", "{e.Ref} smiled and put a hand on {h}'s shoulder."]), "@close"],
    ], [("What did {h} promise?", "{h} promised to {task}."), ("Why did {h} forget?", "{h} forgot because of {fun}."), ("What did {h} do in the end?", "{h} {fix}.")]

def p_rain(v):
    v["made"], v["from_"] = pick([("a castle", "chairs and blankets"), ("a pirate ship", "an old box and a broom"), ("a rocket", "boxes and silver paper"), ("a train", "seven chairs"), ("a jungle", "green towels and house plants"), ("a cave", "the big table and a blanket")])
    v["go"] = {"a castle": "a dragon came to the gate, and they gave it tea", "a pirate ship": "they sailed to an island and dug for gold", "a rocket": "they flew to the moon and jumped very high", "a train": "they rode over the mountains and through long tunnels", "a jungle": "they met a tiger who was afraid of mice", "a cave": "they found bears, and the bears danced"}[v["made"]]
    return "imagination", ["a rainy day", "building {made}"], [
        [intro(v), "{day}, it rained and rained. " + pick(["{h} stood at the window and sighed.", "\"There is nothing to do,\" said {h}.", "The drops ran down the window, one after another."])],
        [pick(["{f} was bored, too. \"I wish we could go outside,\" {f.he} said.", "Then {f} came to visit with wet feet. \"What shall we do?\" {f.he} asked.", "\"I wanted to go to the lake today,\" said {f}."]), pick(["{e.Ref} looked up. \"You have everything you need,\" {e.he} said. \"Use your imagination.\"", "\"When I was little,\" said {e}, \"rainy days were the best days.\"", "Then {h} looked at {from_} and had an idea."])],
        [pick(["They took {from_} and built {made}.", "With {from_}, they made {made}.", "Soon {from_} became {made}."]), pick(["In their game, {go}.", "Then the adventure began: {go}.", "They closed their eyes, and {go}."]), pick(["They laughed so much that {e} came to see what was going on.", "They forgot all about the rain.", "{e.Ref} played along and was [the king|the captain|a monster|a tree]."])],
        [pick(["When they looked out again, the sun was shining and there was a rainbow.", "\"Look, the rain has stopped,\" said {e}. But nobody wanted to go outside.", "In the evening the rain stopped, but they hardly noticed."]), pick(["\"I hope it rains tomorrow, too,\" said {f}.", "\"That was the best trip of my life,\" said {h}.", "\"Can we do it again?\" asked {f}."]), "@close"],
    ], [("What did they build?", "They built {made}."), ("What did they use?", "They used {from_}."), ("What was the weather like?", "It was raining.")]

def p_mess(v):
    toy(v)
    return "care", ["a messy room", "cleaning up"], [
        [intro(v), "There was one thing {h} never did: {h.he} never cleaned up. " + pick(["There were things on the bed, under the bed, and behind the bed.", "{h.His} room looked like a storm had passed through it.", "You could not see the floor anymore."])],
        ["{day}, {f} asked, \"Can we play with your {oa} {o}?\" " + pick(["\"Of course,\" said {h}. But where was it?", "{h} looked around. It could be anywhere.", "\"It must be here somewhere,\" said {h}."]), pick(["{h} looked under the clothes and stepped on a toy. \"Ouch!\"", "A pile of books fell on {h.his} foot.", "{h} searched for an hour and did not find it."])],
        [pick(["\"Shall we clean up together?\" asked {f}.", "\"Everything needs a home,\" said {e}. \"The {o}, too.\"", "{e.Ref} looked in and laughed. \"Start with one corner,\" {e.he} said."]), pick(["First they picked up the clothes. Then they put the books on the shelf.", "They made three piles: one to keep, one to wash, and one to give away.", "They sang while they worked, and soon they could see the floor."]), pick(["And under the very last pile lay the {oa} {o}!", "At the bottom of the last box was the {o}.", "\"Here it is!\" cried {f}. The {o} had been under the bed all the time."])],
        [pick(["Now there was even room to dance.", "The room looked big and bright.", "\"I did not know I had such a nice room,\" said {h}."]), pick(["They played until the evening, and then they put everything back.", "From then on, {h} cleaned up every Saturday.", "They played with the {o} all afternoon."]), "@close"],
    ], [("What were they looking for?", "They were looking for the {oa} {o}."), ("Why could {h} not find it?", "{h}'s room was too messy."), ("Who helped {h} clean up?", "{f} helped {h} clean up.")]

def p_sea(v):
    v["sea"] = pick(["a gray whale", "a friendly dolphin", "an old sea turtle", "a seal with kind eyes", "a flock of white gulls"])
    v["dest"] = pick(["a small green island", "the lighthouse", "the end of the bay", "the place where the sun goes down"])
    return "courage", ["a trip on the sea", "{sea}"], [
        [intro(v), "{h} had always wanted to go to {dest}. {day}, {h.he} and {f} got into a small boat and rowed out."],
        [pick(["The water was calm and blue.", "The waves were small, and the sun was warm.", "They ate bread and cheese and looked at the fish."]), pick(["But then the fog came. They could not see the land anymore.", "But then the wind grew strong, and the waves grew tall.", "But then one of the oars fell into the water and floated away."]), pick(["\"Which way is home?\" asked {f}.", "\"Hold on tight!\" shouted {h}.", "{f} began to cry. {h} was scared, too, but {h.he} did not show it."])],
        [pick(["Suddenly, something moved in the water. It was {sea}!", "Then they heard a sound. It was {sea}.", "And there, beside the boat, was {sea}."]), pick(["\"Follow me,\" it seemed to say.", "It looked at them and turned slowly to one side.", "\"I think it wants to help us,\" said {h}."]).replace("it seemed", "it seemed"), pick(["They followed it for a long time, and at last they saw the shore.", "It showed them the way, and the boat came safely back to the beach.", "Little by little, it led them out of danger."])],
        [pick(["{e.Ref} was waiting on the beach. \"Thank goodness!\" {e.he} cried.", "When they stepped on the sand, their knees were shaking.", "\"Thank you!\" they called across the water."]), pick(["They never forgot their friend in the sea.", "Every summer, they went to the beach and waved at the waves.", "Next time, they took {e} along, and a map, too."]), "@close"],
    ], [("Where did {h} want to go?", "{h} wanted to go to {dest}."), ("Who helped them?", "It was {sea}."), ("Who was in the boat with {h}?", "{f} was in the boat with {h}.")]

def p_dragon(v):
    v["mon"] = pick(["dragon", "giant", "monster", "troll"])
    while v["mon"] in (v["h"].kind, v["f"].kind): v["mon"] = "giant"
    v["why"], v["cure"] = pick([("had a terrible toothache", "pulled the tooth with a long string"), ("was lonely and had no friends", "invited it to tea"), ("had a thorn in its foot", "took the thorn out very gently"), ("could not sleep", "sang it a lullaby"), ("was hungry", "baked it a cake as big as a table"), ("had lost its glasses and could not see", "found the glasses behind a rock")])
    return "kindness", ["a {mon}", "a {mon} who {why}"], [
        [intro(v), "On the mountain there lived a {mon}. Every night it roared so loudly that nobody could sleep. " + pick(["Everyone was afraid of it.", "\"Something must be done,\" the people said." if not v["h"].animal else "\"Something must be done,\" the animals said.", "But nobody dared to go there."])],
        [pick(["\"I will go and ask why it roars,\" said {h}.", "\"Has anyone ever talked to it?\" asked {h}. Nobody had.", "One day, {h} had had enough. \"I will go and talk to it,\" {h.he} said."]), pick(["\"That is too dangerous,\" said {e}. But {f} said, \"I will come with you.\"", "{f} was scared, but {f.he} went along.", "{e.Ref} gave {h} a lantern and some bread for the way."]), pick(["They climbed up and up, until they came to a dark cave.", "The path was steep, and the wind was cold.", "At the top, they saw two big yellow eyes."])],
        [pick(["\"Hello,\" said {h}, and {h.his} voice was shaking. \"Why do you roar?\"", "\"Please don't eat us,\" said {h}. \"We only want to ask you something.\"", "{h} took a deep breath. \"What is the matter?\" {h.he} asked."]), pick(["A big tear rolled down the {mon}'s face. It {why}.", "The {mon} looked surprised. Nobody had ever asked. It {why}.", "\"Nobody ever asked me that,\" said the {mon}. It {why}."]), pick(["So {h} {cure}.", "\"Is that all?\" said {h}, and {h.he} {cure}.", "{h} did not think for long. {h.He} {cure}, and {f} helped."])],
        [pick(["The {mon} smiled for the first time in a hundred years.", "\"Thank you,\" said the {mon}. \"I feel so much better.\"", "The {mon} was so happy that it laughed, and the whole mountain shook."]), pick(["From then on, the nights were quiet.", "Now everyone sleeps well, and on Sundays the {mon} comes to visit.", "When they came back, everyone cheered for {h} and {f}."]), "@close"],
    ], [("Why did the {mon} roar?", "It {why}."), ("How did {h} help the {mon}?", "{h} {cure}."), ("Who went with {h}?" , "{f} went with {h}.")]

def p_fix(v):
    v["m"], v["part"], v["res"] = pick([("an old clock", "a tiny wheel", "it ticked again, and the whole house seemed to wake up"), ("a music box", "a bent pin", "it played a soft and lovely song"), ("a broken radio", "a loose wire", "a voice came out of it and said good morning"),
                    ("a toy train", "a missing screw", "it ran around the room with a whistle"), ("an old bicycle", "a rusty chain", "it rolled down the hill like the wind"), ("a little lamp", "a torn wire", "it gave a warm, golden light")])
    v["M"] = re.sub(r"^an? ", "", v["m"])
    return "patience", ["fixing {m}", "{m}"], [
        [intro(v), "{day}, {h} found {m} in the [attic|cellar|shed]. It did not work anymore."],
        [pick(["\"Throw it away,\" said {f}. \"It is broken.\"", "\"Nobody can fix that,\" said {f}.", "\"It has been broken for years,\" said {e}."]), pick(["But {h} wanted to know how it worked.", "But {h} thought it was too good to throw away.", "\"I will try,\" said {h}."]), pick(["{h} took it apart and laid all the pieces on the table.", "{h} cleaned it with a soft cloth and looked inside.", "{h} borrowed some tools from {e}."])],
        [pick(["The first day, nothing worked. The second day, nothing worked.", "{h} tried this, and {h} tried that.", "When {h} put it back together, one piece was left over."]), pick(["\"Look at one small part at a time,\" said {e}.", "\"Every problem has a beginning,\" said {e}. \"Find it.\"", "{f} brought a lamp and held it close. \"What is that?\" {f.he} asked."]), pick(["Then {h} saw it: {part}!", "And there was the problem: {part}.", "At last {h} found {part}. That was all."])],
        [pick(["{h} fixed it, and {res}.", "With careful fingers, {h} put it right, and {res}." if not v["h"].animal else "Very carefully, {h} put it right, and {res}.", "One more turn, and {res}."]), pick(["\"You did it!\" said {f}.", "\"I would never have believed it,\" said {f}.", "{h} was {glad}."]), "@close"],
    ], [("What did {h} find?", "{h} found {m}."), ("What was the problem?", "The problem was {part}."), ("Did {h} give up?", "No, {h} kept trying until it worked.")]

def p_paint(v):
    v["col"] = pick(["yellow", "blue", "red", "green", "orange", "purple"])
    v["what"] = pick(["the fence", "the school wall", "the old bridge", "the water tower", "the gray houses", "the boats in the harbor"])
    return "imagination", ["a gray town", "painting {what}"], [
        [intro(v), "But everything there was gray. " + pick(["The houses were gray, and the streets were gray.", "Even the people looked gray and tired." if not v["h"].animal else "Even the animals looked gray and tired.", "Nobody remembered what the other colors were called."])],
        ["{day}, {h} found a can of {col} paint. " + pick(["It was as bright as [a summer day|a ripe fruit|a song].", "\"How beautiful!\" {h.he} said.", "{h} had never seen such a color."]), pick(["{h} took a brush and painted one little flower on a wall.", "{h} painted a small bird on {h.his} own door.", "{h} painted a star, only one."]), pick(["People stopped and looked. Some of them smiled." if not v["h"].animal else "Everyone stopped and looked. Some of them smiled.", "\"What is that?\" asked {f}. \"It makes me feel warm.\"", "{f} saw it and laughed. \"Do one for me!\" {f.he} said."])],
        [pick(["So {h} and {f} began to paint {what}.", "The next day, {h} and {f} painted {what}.", "\"Let's paint {what},\" said {h}."]), pick(["Soon others came with more colors.", "{e.Ref} was angry at first, but then {e.he} took a brush, too.", "One after another, everyone came to help."]), pick(["They mixed yellow and blue to make green, and red and white to make pink.", "They had paint on their noses and on their shoes." if not v["h"].animal else "They had paint on their noses and on their tails.", "They painted suns, fish, trees, and clouds."])],
        [pick(["In the evening, it was the most colorful place in the world.", "When it was done, nothing was gray anymore.", "The next morning, the sun came up and everything was shining."]), pick(["And everyone began to sing.", "\"It was only one little picture,\" said {h}. \"That was enough to begin,\" said {e}.", "People came from far away to see it." if not v["h"].animal else "Animals came from far away to see it."]), "@close"],
    ], [("What did {h} find?", "{h} found a can of {col} paint."), ("What did they paint?", "They painted {what}."), ("What color was the paint?", "The paint was {col}.")]

PLOTS = [p_market, p_winter, p_music, p_bird, p_school, p_guard, p_promise, p_rain, p_mess, p_sea, p_dragon, p_fix, p_paint,
         p_lost, p_return, p_bake, p_fear, p_newfriend, p_quarrel, p_rescue, p_race, p_broken, p_seed, p_gift, p_lostway, p_sick, p_skill, p_secret, p_noise, p_team, p_wish, p_star, p_storm]
