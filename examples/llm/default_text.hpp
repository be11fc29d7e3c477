// SPDX-License-Identifier: Apache-2.0
/// The text on which `compare` measures a model when the user gives none: plain English prose,
/// about 2,200 tokens, written for this purpose.
#pragma once

#include <string_view>

namespace llm {

// clang-format off
inline constexpr std::string_view default_text =
R"text(The lighthouse

A lighthouse has one task, and it is a simple one: to tell a sailor who can see almost nothing where he is. Everything about the tower follows from that. It is tall because the earth is round. A lamp at the height of a man disappears below the horizon after about five kilometres, while the same lamp forty metres above the sea can be seen from more than twenty. It stands on the headland, or on the reef itself, because the places that sailors must avoid are the places that they must be able to recognise.

)text"
R"text(The light itself was never very strong. For a long time it was a fire of coal or wood on an open grate, which used up a whole forest of fuel in a few winters and went out in the kind of weather in which it was needed most. Then came lamps that burned oil, first from whales and later from the ground. The great improvement was not a brighter flame but a better use of the flame that was already there. A lamp shines in all directions, and nearly all of its light is wasted on the sky and on the floor of the room. In the early nineteenth century a French engineer found that a lens could be cut into rings, each ring a small prism, so that a piece of glass no thicker than a hand could do the work of a solid lens as thick as a wall. Such a lens gathers the light of the lamp and sends it out in a flat sheet towards the horizon.

If the lens turns, the sheet becomes a beam, and the beam sweeps across the water. A ship sees a flash each time that it passes. This solves the second problem of a lighthouse, which is to be told apart from all the others. Every light on a coast has a rhythm of its own: one flash in five seconds, or two flashes and a pause, or three seconds of light followed by three of darkness. The rhythm is printed on the chart beside the tower. The officer on the bridge counts under his breath, compares, and knows which point of land he is looking at, even if he has never been there before.

)text"
R"text(The keepers who wound the clockwork and cleaned the glass have gone. A small electric lamp with a spare beside it does the work today, and a sensor switches it on at dusk. Most ships find their way by satellite. Yet few captains would ask for the lights to be put out. A satellite tells you where your receiver believes it is. A light tells you where the rock is.

)text"
R"text(The bakery

At two in the morning the street is empty and the bakery is awake. The first work of the night is already half done, because it was begun on the afternoon before: a small piece of dough, mixed from flour, water and a little yeast, has been standing in a cool corner for ten hours. It has risen, fallen slightly in the middle, and smells of apples and beer. Bakers call it by many names. Its purpose is flavour. Yeast makes gas quickly but taste slowly, and the only way to get more of the second is to give it time.

Flour is mostly starch, but it is the protein that makes bread possible. When flour is wetted, two of its proteins join and form long elastic strands. Kneading pulls these strands into sheets, and the sheets lie over one another like the layers of an onion. The yeast feeds on sugar and breathes out gas, and the gas collects in small bubbles between the sheets. If the dough is weak, the bubbles break and the loaf stays flat. If it is too strong, they cannot grow. A good baker can tell the difference with two fingers: he pulls a small piece of dough until it is thin enough for light to shine through, and if it tears before that, it needs more work.

Salt is added late, and not only for its taste. It tightens the strands and slows the yeast. Too little and the dough runs away; too much and it sleeps. About twenty grams for each kilogram of flour is the usual amount, and a baker who has forgotten it will know from the feel of the dough long before anyone has tasted the bread.

Then comes the fire. In the first minutes in the oven the loaf grows by a third, since the gas in the bubbles expands and the yeast, warmed, works faster than ever before it dies at about sixty degrees. The water near the surface turns to steam. The starch swells and sets, the protein becomes firm, and what was a foam becomes a sponge. If the air in the oven is dry, the skin hardens too early and the loaf tears wherever it likes. For this reason the baker throws in a cup of water when he closes the door, and for the same reason he cuts the top of the loaf with a blade: since it will tear, it may as well tear where he wants it to.

)text"
R"text(The brown of the crust is the last thing to appear. It needs a temperature far above that of boiling water, so it can form only where the loaf has dried. Sugars and proteins react there and make hundreds of new substances, and most of what we call the smell of fresh bread comes from a layer two millimetres thick. The loaf is finished when it sounds hollow under the knuckles. It should then be left alone for an hour, which nobody in the history of baking has ever been able to do.

)text"
R"text(The tides

Anyone who lives near the ocean knows that the water comes and goes twice a day, and that it comes about fifty minutes later on each day than on the one before. The moon does the same, and people noticed the connection long before they could explain it. The explanation is less obvious than it seems. It is easy to say that the moon pulls the water towards it. But if that were all, there would be one high tide each day, under the moon, and there are two.

)text"
R"text(The moon pulls on the near side of the earth a little more strongly than on its centre, and on the centre a little more strongly than on the far side. What matters for the sea is this difference. Seen from the centre, the water on the near side is drawn towards the moon, and the water on the far side is left behind. So there are two bulges, one on each side, and the earth turns beneath them. A harbour passes through both in the course of a day. The sun does the same with somewhat less than half the force, because it is so much farther away. When sun and moon stand in a line, at new moon and at full moon, the two effects add up, and the tides are large. When they stand at right angles, the tides are small.

That is the theory, and on a planet covered by a deep and even ocean it would be the whole story. The real sea lies in basins with crooked shores. Water that is pushed into a bay runs up against the land and swings back, as it does in a bath when a child slides to and fro. If the time of this swing happens to be close to the time between two tides, each push arrives at the right moment, and the swing grows. In one bay in Canada the water rises by as much as sixteen metres for this reason, while at many islands in the open Pacific it hardly rises by one. There are coasts with one tide a day and coasts with four, and a few lucky points in the sea around which the tide turns like the hand of a clock and where the water never rises at all.

No one calculates this from the beginning. Instead a gauge in the harbour writes down the level of the water for a year or more, and the curve is taken apart into a few dozen regular waves, each with a known period that comes from the motions of the earth, the moon and the sun. Once the size and the delay of every wave are known, they can be added up for any day in the future. In the nineteenth century this was done by a machine of brass wheels and pulleys, over which ran a single long wire with a pen at its end. It drew a year of tides in an afternoon.

)text"
R"text(The map

A map is a careful lie. The earth is round and paper is flat, and there is no way to press the one onto the other without stretching, tearing or folding it. Every map maker has to choose what will be wrong. He can keep the angles, so that a small island has its true shape and a compass course is a straight line, but then Greenland looks as large as Africa, which is in truth fourteen times larger. He can keep the areas, but then the continents hang down like wet washing. He can keep the distances from one point, the capital for instance, at the price of every other distance. He cannot have everything, and a good map says in a corner which promise it has kept.

)text"
R"text(The second choice is what to leave out. A map that showed everything would be as large as the country and as hard to read. So a road that is ten metres wide is drawn as if it were a hundred, because a traveller needs to see it, and the hundred houses beside it become a grey square, because he does not. Bends in the river are smoothed. Two villages that would overlap are moved a little apart. None of this is done by accident, and hardly anything of it can be left to a rule. The person who draws the map must ask, again and again, who will be holding it, in what weather, and what he will be afraid of.

Before anything can be drawn it has to be measured. For three hundred years this was done with triangles. Two surveyors measured one line on level ground, a few kilometres long, with rods that they laid end to end, and they did it several times, with endless patience. From the ends of that line they could see the tower of a church, and they measured the two angles under which it stood. A triangle is fixed by one side and two angles, so now they knew the distance to the church without having walked it, and could use it as a side of the next triangle. In this way a chain of triangles ran across a whole country, from hill to hill, and at the far end another line was measured on the ground in order to check the sum. When one such chain in France was closed, after hundreds of kilometres, the calculated length and the measured one differed by less than the height of a man.

Today the measuring is done from the sky, and the drawing on a screen. A map can be asked for the shortest way, and it answers in a calm voice. But the old choices are still being made, by somebody, before the first line appears: what is true enough, what is important, and what the person who looks at it must not be allowed to miss.
)text";
// clang-format on

}  // namespace llm
