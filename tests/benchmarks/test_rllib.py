"""RLlib trains on the PettingZoo environment: one iteration of PPO."""

import pytest

pytest.importorskip("ray", reason="needs ray[rllib]")


@pytest.mark.slow
def test_one_ppo_iteration():
    import ray
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv
    from ray.tune.registry import register_env

    from smartgrid_core.pettingzoo_env import parallel_env

    register_env("smartgrid", lambda settings: ParallelPettingZooEnv(parallel_env(**settings)))
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        config = (
            PPOConfig()
            .environment("smartgrid", env_config={"scenario": "community-5", "episode_days": 0.5})
            .env_runners(num_env_runners=0)
            .multi_agent(policies={"shared"}, policy_mapping_fn=lambda *_args, **_kwargs: "shared")
            .training(train_batch_size=96, minibatch_size=48, num_epochs=1)
        )
        result = config.build_algo().train()
        assert result["env_runners"]["num_env_steps_sampled"] >= 96
        assert "shared" in result["learners"]
    finally:
        ray.shutdown()
