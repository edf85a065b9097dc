"""Random actions for a day in one community: python examples/pettingzoo_random.py [SCENARIO]"""

import sys

from smartgrid_core.pettingzoo_env import parallel_env

env = parallel_env(sys.argv[1] if len(sys.argv) > 1 else "community-5", render_mode="ansi", episode_days=1)
observations, infos = env.reset(seed=0)
cost_eur = dict.fromkeys(env.possible_agents, 0.0)

while env.agents:
    actions = {agent: env.action_space(agent).sample() for agent in env.agents}
    observations, rewards, terminated, truncated, infos = env.step(actions)
    for agent, info in infos.items():
        cost_eur[agent] += info["cost_eur"]

print(env.render())
print("\ncost of the day in EUR:", {agent: round(cost, 2) for agent, cost in cost_eur.items()})
